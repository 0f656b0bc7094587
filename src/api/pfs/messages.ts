import type { MessageInitShape } from '@bufbuild/protobuf'
import { InvalidArgumentError } from '../../base/errors.ts'
import type { Timestamp } from '@bufbuild/protobuf/wkt'
import type { Instant } from '../../base/clock.ts'
import type {
  BranchInfoSchema,
  CommitInfoSchema,
  CommitSchema,
  RepoInfoSchema,
} from '../../gen/pfs_pb.ts'
import type { BranchInfo } from '../../versioning/branches.ts'
import type { CommitInfo, CommitSummary } from '../../versioning/commit-records.ts'
import type { RepoInfo } from '../../versioning/repos.ts'

const microsPerSecond = 1_000_000
const nanosPerMicro = 1000
const secondsMin = -62_135_596_800n
// Where instants end to be exact.
const secondsMax = 8_993_000_000n

/** A google.protobuf.Timestamp. */
export function timestampOf(at: Instant): Omit<Timestamp, '$typeName' | '$unknown'> {
  const seconds = Math.floor(at / microsPerSecond)
  return { seconds: BigInt(seconds), nanos: (at - seconds * microsPerSecond) * nanosPerMicro }
}

/**
 * The instant that a google.protobuf.Timestamp says, down to the microsecond.
 *
 * @throws {InvalidArgumentError} for a time that is in none of the years 1 to 2254.
 */
export function instantOf({ seconds, nanos }: Pick<Timestamp, 'seconds' | 'nanos'>): Instant {
  if (seconds < secondsMin || seconds > secondsMax) {
    throw new InvalidArgumentError(`a time ${seconds} seconds after 1970 makes no sense`)
  }
  return Number(seconds) * microsPerSecond + Math.floor(nanos / nanosPerMicro)
}

export function commitMessage(repo: string, id: string): MessageInitShape<typeof CommitSchema> {
  return { repo: { name: repo }, id }
}

export function repoInfoMessage(info: RepoInfo): MessageInitShape<typeof RepoInfoSchema> {
  return {
    repo: { name: info.name },
    created: timestampOf(info.createdAt),
    sizeBytes: BigInt(info.sizeBytes),
    provenance: info.provenance.map((name) => ({ name })),
    description: info.description,
  }
}

/** Without provenance and merge parents where they are not known. */
export function commitInfoMessage(
  info: CommitSummary & Partial<Pick<CommitInfo, 'provenance' | 'mergeParents'>>,
): MessageInitShape<typeof CommitInfoSchema> {
  const { state } = info
  return {
    commit: commitMessage(info.repo, info.id),
    started: timestampOf(info.startedAt),
    provenance: (info.provenance ?? []).map(({ repo, id }) => commitMessage(repo, id)),
    message: info.message,
    mergeParents: (info.mergeParents ?? []).map((id) => commitMessage(info.repo, id)),
    ...(info.parent !== undefined && { parentCommit: commitMessage(info.repo, info.parent) }),
    ...(state.kind === 'finished' && {
      finished: timestampOf(state.finishedAt),
      sizeBytes: BigInt(state.tree.sizeBytes),
      tree: { hash: state.tree.root },
    }),
  }
}

export function branchInfoMessage(info: BranchInfo): MessageInitShape<typeof BranchInfoSchema> {
  return { name: info.name, head: commitMessage(info.repo, info.head) }
}
