import type { CommitId, RepoName } from '../../base/names.ts'
import type { TreeRoot } from '../../storage/file-trees.ts'
import type { CommitTree } from '../commit-records.ts'
import type { Preference } from '../commits/branch-sides.ts'
import type { BuiltCommit } from '../commits/finish-steps.ts'
import type { Operation } from '../operations.ts'
import type { CommitName } from '../ports.ts'

/** A commit whose tree a transaction needs, and all that it depends on: where that is the same, the tree is. */
export type PlannedBuild = PlannedFinish | PlannedMerge

export interface PlannedFinish {
  readonly kind: 'finish'
  /** Of the operation. */
  readonly index: number
  readonly commit: CommitName
  readonly parent: CommitId | undefined
  /** The last write that was staged before the transaction, or `notStarted`. */
  readonly stagedBefore: number
  /** Operations of the transaction that stage writes to it, before its finish. */
  readonly ownWrites: readonly number[]
}

/** A commit that brings what theirs has changed since the base into ours. */
export interface PlannedMerge {
  readonly kind: 'merge'
  readonly index: number
  readonly repo: RepoName
  readonly id: CommitId
  readonly base: CommitId | undefined
  readonly ours: CommitId
  /** Undefined: no files. */
  readonly theirs: CommitId | undefined
  readonly prefer: Preference
  /** It undoes the base, which must leave something to do. */
  readonly isRevert: boolean
}

export interface BuiltMerge {
  readonly tree: CommitTree
  /** The full new sizes of the files that it adds or changes. */
  readonly addedBytes: number
}

export type Built =
  | { readonly kind: 'finish'; readonly plan: PlannedFinish; readonly built: BuiltCommit }
  | { readonly kind: 'merge'; readonly plan: PlannedMerge; readonly built: BuiltMerge }

/** What has been built, by the index of the operation that needs it. */
export type BuiltCommits = ReadonlyMap<number, Built>

/** The transaction itself starts the commit. */
export const notStarted = -1

export function isStartedByPlan({ stagedBefore }: PlannedFinish): boolean {
  return stagedBefore === notStarted
}

/** Whether others may be writing to the commit. */
export function isOpenBefore(plan: PlannedBuild): plan is PlannedFinish {
  return plan.kind === 'finish' && !isStartedByPlan(plan)
}

/** Whether an operation needs a tree. */
export function isBuilt({ kind }: Operation): boolean {
  return kind === 'finish-commit' || kind === 'merge-branch' || kind === 'revert-commit'
}

/** Never stored: where a plan needs a root, which is known only when the tree has been built. */
const plannedTree = { root: 'planned' as TreeRoot, sizeBytes: 0, fileCount: 0 } as const

/** Something has changed since the trees were built: plan and build again. */
export class OutrunError extends Error {
  override readonly name = 'OutrunError'
}

/** @throws {OutrunError} unless it was built by the same plan. Without `built`, what a plan goes on with. */
export function builtFinish(built: BuiltCommits | undefined, plan: PlannedFinish): BuiltCommit {
  if (built === undefined) {
    const tree = { kind: 'directory' as const, ...plannedTree }
    return { open: { sequence: 0, tree, conflicts: [] }, addedBytes: 0 }
  }
  const found = built.get(plan.index)
  if (found?.kind === 'finish' && isSame(found.plan, plan)) return found.built
  throw new OutrunError(`commit ${plan.commit.id} has changed since it was built`)
}

/** As `builtFinish`. */
export function builtMerge(built: BuiltCommits | undefined, plan: PlannedMerge): BuiltMerge {
  if (built === undefined) return { tree: plannedTree, addedBytes: 0 }
  const found = built.get(plan.index)
  if (found?.kind === 'merge' && isSame(found.plan, plan)) return found.built
  throw new OutrunError(`what commit ${plan.id} is made of has changed since it was built`)
}

/** Plans are numbers, texts and lists of them, made in one place each. */
function isSame(left: PlannedBuild, right: PlannedBuild): boolean {
  return JSON.stringify(left) === JSON.stringify(right)
}
