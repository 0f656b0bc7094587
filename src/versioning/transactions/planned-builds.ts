import type { CommitId, RepoName } from '../../base/names.ts'
import type { FilePath } from '../../base/paths.ts'
import type { TreeRoot } from '../../storage/file-trees.ts'
import type { CommitTree } from '../commit-records.ts'
import type { Preference } from '../commits/branch-sides.ts'
import type { BuiltCommit } from '../commits/finish-steps.ts'
import { type CopyMode, removalOf } from '../copies.ts'
import type { Operation } from '../operations.ts'
import type { CommitName } from '../ports.ts'
import type { StagedColumns } from '../staging/staged-rows.ts'

/** What a transaction needs of trees, and all that it depends on: where that is the same, the result is. */
export type PlannedBuild = PlannedFinish | PlannedMerge | PlannedCopy

/** An open commit, as it is when the turn of an operation comes. */
export interface PlannedOpen {
  readonly commit: CommitName
  readonly parent: CommitId | undefined
  /** The last write that was staged before the transaction, or `notStarted`. */
  readonly stagedBefore: number
  /** Operations of the transaction that have staged a write to it before, in order. */
  readonly ownWrites: readonly number[]
}

export interface PlannedFinish extends PlannedOpen {
  readonly kind: 'finish'
  /** Of the operation. */
  readonly index: number
}

/** A copy or a move by reference. */
export interface PlannedCopy {
  readonly kind: 'copy'
  readonly index: number
  readonly moves: boolean
  readonly from: PlannedOpen | PlannedFinished
  readonly fromPath: FilePath
  readonly to: PlannedOpen
  readonly toPath: FilePath
  readonly mode: CopyMode
}

/** A commit that has finished, before the transaction or by it. */
interface PlannedFinished {
  readonly commit: CommitName
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

/** What a copy or a move stages: one write to each commit that it changes. */
export type BuiltCopy = ReadonlyMap<CommitId, StagedColumns>

export type Built =
  | { readonly kind: 'copy'; readonly plan: PlannedCopy; readonly built: BuiltCopy }
  | { readonly kind: 'finish'; readonly plan: PlannedFinish; readonly built: BuiltCommit }
  | { readonly kind: 'merge'; readonly plan: PlannedMerge; readonly built: BuiltMerge }

/** What has been built, by the index of the operation that needs it. */
export type BuiltCommits = ReadonlyMap<number, Built>

/** The transaction itself starts the commit. */
export const notStarted = -1

export function isStartedByPlan({ stagedBefore }: PlannedOpen): boolean {
  return stagedBefore === notStarted
}

export function isOpen(commit: PlannedCopy['from']): commit is PlannedOpen {
  return 'stagedBefore' in commit
}

/** The commits to which others may be writing. */
export function openBefore(plan: PlannedBuild): readonly CommitId[] {
  const seen = plan.kind === 'merge' ? [] : plan.kind === 'copy' ? [plan.from, plan.to] : [plan]
  return seen
    .filter((each) => isOpen(each) && !isStartedByPlan(each))
    .map(({ commit }) => commit.id)
}

const builtKinds: ReadonlySet<Operation['kind']> = new Set([
  'copy-file',
  'finish-commit',
  'merge-branch',
  'move-file',
  'revert-commit',
])

/** Whether an operation needs a tree. */
export function isBuilt({ kind }: Operation): boolean {
  return builtKinds.has(kind)
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

/** As `builtFinish`. */
export function builtCopy(built: BuiltCommits | undefined, plan: PlannedCopy): BuiltCopy {
  const { from, fromPath, to, toPath, moves } = plan
  if (built === undefined) {
    // As many writes to the same commits; what they say is not read.
    const planned = new Map([[to.commit.id, removalOf(toPath)]])
    return moves ? planned.set(from.commit.id, removalOf(fromPath)) : planned
  }
  const found = built.get(plan.index)
  if (found?.kind === 'copy' && isSame(found.plan, plan)) return found.built
  throw new OutrunError(`what operation ${plan.index} copies has changed since it was read`)
}

/** Plans are numbers, texts and lists of them, made in one place each. */
function isSame(left: PlannedBuild, right: PlannedBuild): boolean {
  return JSON.stringify(left) === JSON.stringify(right)
}
