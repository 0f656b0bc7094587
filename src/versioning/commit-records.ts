import type { Instant } from '../base/clock.ts'
import { UnimplementedError } from '../base/errors.ts'
import type { CommitId, RepoName } from '../base/names.ts'
import type { ReadTransaction, Transaction } from '../database/database.ts'
import type { TreeRoot } from '../storage/file-trees.ts'
import type { CommitName } from './ports.ts'

/** The tree of a finished commit. */
export interface CommitTree {
  readonly root: TreeRoot
  /** Sum of the sizes of all files. */
  readonly sizeBytes: number
  readonly fileCount: number
}

export type CommitState =
  | { readonly kind: 'open' }
  | { readonly kind: 'finished'; readonly finishedAt: Instant; readonly tree: CommitTree }

export interface CommitInfo extends CommitName {
  readonly parent: CommitId | undefined
  readonly startedAt: Instant
  readonly state: CommitState
  /** Every commit that this one is made from, near and far. */
  readonly provenance: readonly CommitName[]
}

/** A commit whose tree is known from the start, such as a job's output or an imported one. */
export interface FinishedCommit extends CommitName {
  readonly parent: CommitId | undefined
  /** Commits that it is made from directly; theirs are added. */
  readonly provenance: readonly CommitName[]
  readonly startedAt: Instant
  readonly finishedAt: Instant
  /** Durable before the call: the root is a stored chunk, and `chunks.flush` has covered it. */
  readonly tree: CommitTree
  /** What the repo's size grows by: the full new sizes of files added or changed. */
  readonly addedBytes: number
}

/** Makes the commit; moves no branch: see `setHead`. */
export async function insertFinishedCommit(tx: Transaction, commit: FinishedCommit): Promise<void> {
  throw new UnimplementedError(commit.id + String(tx))
}

/** The commit that `name` says: first as a branch of the repo, else as an id. */
export async function findCommit(
  tx: ReadTransaction,
  repo: string,
  name: string,
): Promise<CommitInfo | undefined> {
  throw new UnimplementedError(repo + name + String(tx))
}

/**
 * @throws {RepoNotFoundError}
 * @throws {CommitNotFoundError}
 */
export async function getCommit(
  tx: ReadTransaction,
  repo: string,
  name: string,
): Promise<CommitInfo> {
  throw new UnimplementedError(repo + name + String(tx))
}

/** The first finished commit of `repo` whose provenance contains all of `commits`. */
export async function findDerivedCommit(
  tx: ReadTransaction,
  repo: RepoName,
  commits: readonly CommitName[],
): Promise<CommitInfo | undefined> {
  throw new UnimplementedError(repo + String(tx) + commits.length)
}
