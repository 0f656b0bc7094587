import type { Clock, Instant } from '../base/clock.ts'
import type { BranchName, CommitId, JobId, PipelineName, RepoName } from '../base/names.ts'
import type { Random } from '../base/random.ts'
import type { Database, ReadTransaction, Transaction } from '../database/database.ts'
import type { ChunkStore } from '../storage/chunks.ts'
import type { Contents } from '../storage/contents.ts'
import type { FileTrees } from '../storage/file-trees.ts'
import type { Leases } from '../storage/leases.ts'
import type { Spools } from '../storage/spool.ts'

/** A commit by its full name. */
export interface CommitName {
  readonly repo: RepoName
  readonly id: CommitId
}

/** A finished commit that has just become the head of `branch`. */
export interface ReadyHead {
  readonly repo: RepoName
  readonly branch: BranchName
  readonly id: CommitId
}

/**
 * Called in the transaction that makes a finished commit the head of a branch (finish of a head,
 * set-branch, build-commit, a job's output), before it commits: what must follow from the commit
 * is written there, so that a crash cannot separate the two. Touches nothing but `tx`.
 */
export type OnHeadReady = (tx: Transaction, heads: readonly ReadyHead[]) => Promise<void>

/** Whether a finished commit that contains given commits may still come to a repo. */
export type DownstreamState =
  /** It may: a job waits or runs, or nothing says that none will. */
  | { readonly kind: 'pending' }
  /** It never will, and need not: nobody waits for it. */
  | { readonly kind: 'none' }
  /** It never will: `reason` names the job or the pipeline, in words for people. */
  | { readonly kind: 'failed'; readonly reason: string }

/** What flush asks the layer that runs jobs. */
export interface Downstream {
  /** Topics of events after which `state` may answer differently. */
  readonly topics: readonly string[]
  /** Asked only while `repo` has no finished commit whose provenance contains all `commits`. */
  state(
    tx: ReadTransaction,
    commits: readonly CommitName[],
    repo: RepoName,
  ): Promise<DownstreamState>
  /**
   * What is waited for where `state` is pending, in a sentence for people; undefined where jobs wait or
   * run that will end by themselves.
   */
  cause(
    tx: ReadTransaction,
    commits: readonly CommitName[],
    repo: RepoName,
  ): Promise<string | undefined>
  /** Repos beside the main line: waited for when they are named, and not otherwise. */
  besides(tx: ReadTransaction): Promise<ReadonlySet<string>>
  /**
   * Of `repos`, which are all that are made from `source`: those to which nothing comes from there any
   * more, since what made it was taken away. They are waited for when they are named, and not otherwise.
   */
  cutOff(
    tx: ReadTransaction,
    source: RepoName,
    repos: ReadonlySet<RepoName>,
  ): Promise<ReadonlySet<RepoName>>
}

/** A job, and the pipeline whose run it is. */
export interface JobName {
  readonly id: JobId
  readonly pipeline: PipelineName
}

/** Jobs that read commits which are to go. */
export interface JobRemoval {
  /** They have ended: their records go. */
  readonly removed: readonly JobName[]
  /** They wait or run: they are killed, and their records stay to say why. */
  readonly killed: readonly JobName[]
  /** Keys of datum results that no job that stays has. */
  readonly results: readonly string[]
  /** The state of things that `results` was found out in; opaque. */
  readonly asOf: string
}

/** Commits that are to go, by id: each with the nearest ancestor that stays, if there is one. */
export type GoingCommits = ReadonlyMap<
  CommitId,
  CommitName & { readonly heir: CommitId | undefined }
>

/** What the layer that runs jobs knows of commits, and does when they go. */
export interface CommitUses {
  /** The pipeline that writes a branch; undefined when none does. */
  writerOf(tx: ReadTransaction, repo: string, branch: string): Promise<string | undefined>
  /** The pipeline whose output repo it is; undefined when it is none's. */
  pipelineOf(tx: ReadTransaction, repo: string): Promise<string | undefined>
  /**
   * Called in the transaction that makes a repo, or says anew what it is made from: what pipelines
   * make of it, or write to it, is noted in the provenance of their output repos.
   *
   * @throws {ProvenanceCycleError} when a pipeline's output would be made from itself.
   */
  onRepoMade(tx: Transaction, repo: RepoName): Promise<void>
  /**
   * What else goes with commits. Reads trees, so not for use in a transaction.
   *
   * @throws {FailedPreconditionError} when something that stays cannot do without one of them.
   */
  planRemoval(commits: GoingCommits, signal?: AbortSignal): Promise<JobRemoval>
  /**
   * Does so, in the transaction that deletes the commits and before branches move. False when
   * `removal` no longer is what `planRemoval` would say; then nothing was written.
   */
  remove(tx: Transaction, commits: GoingCommits, removal: JobRemoval, at: Instant): Promise<boolean>
}

/** Everything that versioning needs from the world. */
export interface VersioningPorts {
  readonly database: Database
  readonly chunks: ChunkStore
  readonly contents: Contents
  readonly trees: FileTrees
  readonly leases: Leases
  /** For what is longer than memory, and read more than once in a call. */
  readonly spools: Spools
  readonly clock: Clock
  readonly random: Random
  readonly onHeadReady: OnHeadReady
  readonly downstream: Downstream
  readonly uses: CommitUses
}

/** Events: subject `<repo>`, when a repo is created, updated or deleted. */
export const repoTopic = 'repos'
/** Events: subject `<repo>/<commit id>`, when a commit is started, finished or deleted. */
export const commitTopic = 'commits'
/** Events: subject `<repo>/<branch>`, when a trigger of a branch is set, changed or removed. */
export const branchTriggerTopic = 'branch-triggers'
/** Events: subject `<repo>/<branch>`, when a branch is made, moved or deleted. */
export const branchTopic = 'branches'
