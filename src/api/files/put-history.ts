import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Clock } from '../../base/clock.ts'
import type { BroughtCommitSchema, Files, PutHistoryRequest } from '../../gen/pachyderm_pb.ts'
import type {
  BroughtCommit,
  HistoryCounts,
  HistoryPutRequest,
  HistoryPuts,
} from '../../sources/history-puts.ts'
import { latestOf } from '../grpc/latest.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { requireRepo, requireText } from '../pfs/names.ts'

/** PutHistory: each commit when it is there, and how far it is in between. */
export function putHistoryHandlers(
  history: Pick<HistoryPuts, 'put'>,
  clock: Clock,
): ServiceHandlers<typeof Files> {
  return {
    async *putHistory(message, { signal }) {
      const request = requestOf(message)
      const brought: BroughtCommit[] = []
      const work = (tell: (counts: HistoryCounts) => void, stop: AbortSignal) =>
        history.put(request, {
          signal: stop,
          onProgress: (counts, commit) => {
            if (commit !== undefined) brought.push(commit)
            tell(counts)
          },
        })
      for await (const { value, isLast } of latestOf(work, { clock, signal })) {
        const { fileCount, sizeBytes, commitCount, commitTotal } = value
        yield {
          files: BigInt(fileCount),
          bytes: BigInt(sizeBytes),
          commits: BigInt(commitCount),
          commitsTotal: BigInt(commitTotal),
          brought: brought.splice(0).map((commit) => broughtMessage(request.repo, commit)),
          done: isLast,
        }
      }
    },
  }
}

function requestOf(message: PutHistoryRequest): HistoryPutRequest {
  const { repo, branch, url, path, addOwnName: addsOwnName, resume: resumes, parallelism } = message
  return {
    repo: requireRepo(repo),
    branch: requireText(branch, 'branch', 'a branch is needed'),
    url,
    path,
    addsOwnName,
    resumes,
    parallelism,
  }
}

function broughtMessage(
  repo: string,
  { id, origin, changedCount, removedCount }: BroughtCommit,
): MessageInitShape<typeof BroughtCommitSchema> {
  return {
    commit: { repo: { name: repo }, id },
    origin,
    changedFiles: BigInt(changedCount),
    removedPaths: BigInt(removedCount),
  }
}
