import type { Timestamp } from '@bufbuild/protobuf/wkt'
import type { Instant } from '../base/clock.ts'
import type { Input, JobInfo, PipelineInfo } from '../gen/pps_pb.ts'

/** Records of an old cluster, of any version from 1.4.0 to 1.5.x, in the words of this project. */

export interface OldRepo {
  readonly name: string
  readonly createdAt: Instant
  readonly description: string
  readonly sizeBytes: number
  /** Near and far. */
  readonly provenance: readonly string[]
  /** Orders records by their last writes. */
  readonly written: number
}

/** A description as it can be stored here: a NUL is shown as `␀`, for databases hold none. */
export function storableDescription(description: string): string {
  return description.replaceAll('\0', '\u2400')
}

export interface OldCommitName {
  readonly repo: string
  readonly id: string
}

export interface OldCommit extends OldCommitName {
  readonly parent: string | undefined
  readonly startedAt: Instant
  /** Undefined while it is open. */
  readonly finishedAt: Instant | undefined
  readonly sizeBytes: number
  /** The object that holds its tree; undefined while it is open. */
  readonly tree: string | undefined
  /** Near and far. */
  readonly provenance: readonly OldCommitName[]
  readonly written: number
}

export interface OldBranch {
  readonly repo: string
  readonly name: string
  readonly head: string
  readonly written: number
}

export interface OldPipeline {
  readonly name: string
  readonly info: PipelineInfo
  readonly written: number
}

export interface OldJob {
  readonly id: string
  readonly pipeline: string
  readonly info: JobInfo
  /** In 1.4: the id of the pipeline whose run it was; else empty. */
  readonly pipelineId: string
  readonly written: number
}

/** What was put into an open commit, or deleted: in the order of their writes. */
export interface OldWrite {
  /** As it was written: `/a/b`, `a/b`, or empty. */
  readonly path: string
  readonly change:
    | { readonly kind: 'delete' }
    | { readonly kind: 'put'; readonly isSplit: boolean; readonly records: readonly OldPut[] }
}

export interface OldPut {
  readonly sizeBytes: number
  readonly object: string
}

/** Who may do what, in 1.5.1 and later. */
export interface OldAccess {
  readonly kind: 'admin' | 'token' | 'acl'
  /** A user, the hash of a token, or a repo. */
  readonly name: string
  /** As it was stored. */
  readonly value: Uint8Array
}

/** Everything that an old cluster says of itself, apart from contents. */
export interface OldCatalog {
  readonly repos: readonly OldRepo[]
  readonly commits: readonly OldCommit[]
  readonly branches: readonly OldBranch[]
  readonly pipelines: readonly OldPipeline[]
  readonly jobs: readonly OldJob[]
  readonly access: readonly OldAccess[]
  /** Whether not everybody could read everything. */
  readonly isAccessControlled: boolean
  /** `1.4` or `1.5`; of a server that was asked, all three parts. */
  readonly version: string
  /** Locks that somebody holds: a server or a worker runs. */
  readonly lockCount: number
  /** Where keys of pipelines begin with something else than was looked for, and none as that: with what. */
  readonly pipelinesElsewhere: readonly string[]
  /** Pipelines that run whatever comes, where locks are not seen. */
  readonly awakePipelines: readonly string[]
}

const microsPerSecond = 1_000_000
const nanosPerMicro = 1000
const secondsMax = 8_993_000_000n

/** Down to the microsecond; undefined for what is unset or makes no sense. */
export function instantOfTime(time: Timestamp | undefined): Instant | undefined {
  if (time === undefined || time.seconds < 0n || time.seconds > secondsMax) return undefined
  return Number(time.seconds) * microsPerSecond + Math.floor(time.nanos / nanosPerMicro)
}

/** The commits that a job reads, by repo: of atoms and of crons. */
export function inputCommits(info: JobInfo): ReadonlyMap<string, string> {
  const commits = new Map<string, string>()
  const add = (input: Input): void => {
    for (const leaf of [input.atom, input.pfs, input.cron]) {
      if (leaf !== undefined && leaf.commit !== '') commits.set(leaf.repo, leaf.commit)
    }
    for (const member of [...input.cross, ...input.union]) add(member)
  }
  if (info.input !== undefined) add(info.input)
  for (const { commit } of info.inputs) {
    if (commit?.repo !== undefined) commits.set(commit.repo.name, commit.id)
  }
  return commits
}
