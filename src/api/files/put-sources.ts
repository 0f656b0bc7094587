import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Clock } from '../../base/clock.ts'
import type { PutSourcesRequest, PutSourcesResponseSchema, Files } from '../../gen/pachyderm_pb.ts'
import type { SourcePutCounts, SourcePutRequest, SourcePuts } from '../../sources/source-puts.ts'
import type { Commits } from '../../versioning/commits.ts'
import { endingCommit, givingUp } from './ended-commit.ts'
import type { SecretTexts } from './secret-texts.ts'
import { latestOf } from '../grpc/latest.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { requireCommit } from '../pfs/names.ts'
import { splitOf } from '../pfs/split-fields.ts'

type Response = MessageInitShape<typeof PutSourcesResponseSchema>

/** PutSources: how far it is, as often as the caller takes it; last of all, that it is done. */
export function putSourcesHandlers(
  puts: Pick<SourcePuts, 'put'>,
  {
    clock,
    commits,
    secrets,
  }: { readonly clock: Clock; readonly commits: Commits; readonly secrets: SecretTexts },
): ServiceHandlers<typeof Files> {
  return {
    async *putSources(request, { signal }) {
      const asked = { ...requestOf(request), credentials: await secrets.given(request.secret) }
      const { endsCommit } = request
      const work = (tell: (counts: SourcePutCounts) => void, stop: AbortSignal) => {
        const put = () => puts.put(asked, { signal: stop, onProgress: tell })
        if (endsCommit) return endingCommit(commits, asked, put)
        return asked.isPart ? givingUp(commits, asked, put) : put()
      }
      for await (const news of latestOf(work, { clock, signal })) {
        yield { ...responseOf(news.value, news.isLast), endedCommit: endsCommit && news.isLast }
      }
    },
  }
}

function requestOf({
  commit,
  sources,
  recursive,
  overwrite,
  parallelism,
  resume,
  split,
  isPart,
}: PutSourcesRequest): SourcePutRequest {
  return {
    ...requireCommit(commit),
    sources: sources.map(({ url, path, addOwnName }) => ({ url, path, addsOwnName: addOwnName })),
    isRecursive: recursive,
    overwrite,
    parallelism,
    resumes: resume,
    split: splitOf(split),
    isPart,
  }
}

function responseOf({ fileCount, sizeBytes, keptBytes }: SourcePutCounts, done: boolean): Response {
  return {
    files: BigInt(fileCount),
    bytes: BigInt(sizeBytes),
    keptBytes: BigInt(keptBytes),
    done,
  }
}
