import { assert, DomainError, unreachable } from '../../base/errors.ts'
import type { DirectoryEntry } from '../../storage/file-trees.ts'
import type { Lease } from '../../storage/leases.ts'
import type { CommitId } from '../../base/names.ts'
import { type CommitTree, treeEntry } from '../commit-records.ts'
import { builtCommit, treeOf } from '../commits/finish-steps.ts'
import { mergeTrees, treeChange } from '../commits/tree-changes.ts'
import { copyWrite, entryToStage, moveWrite, removalOf, requirePlace } from '../copies.ts'
import { FileNotFoundError, MergeConflictError, NothingToRevertError } from '../errors.ts'
import type { Step } from '../operations.ts'
import type { VersioningPorts } from '../ports.ts'
import { checkCancelled } from '../records/cancellation.ts'
import { requireCountable } from '../records/tree-totals.ts'
import type { OpenTree, OpenTrees } from '../staging/open-trees.ts'
import type { StagedColumns } from '../staging/staged-rows.ts'
import { OperationFailedError } from './transaction-errors.ts'
import { columnsOf } from './batch.ts'
import {
  type Built,
  type BuiltCommits,
  isOpen,
  isStartedByPlan,
  type PlannedBuild,
  type PlannedCopy,
  type PlannedFinish,
  type PlannedMerge,
  type PlannedOpen,
} from './planned-builds.ts'

interface Builder {
  readonly ports: VersioningPorts
  readonly openTrees: OpenTrees
  /** Keeps what is put, and what it is built on. */
  readonly lease: Lease
}

interface Plan {
  readonly steps: readonly Step[]
  readonly plan: readonly PlannedBuild[]
  readonly signal?: AbortSignal | undefined
}

/** What has been built so far. */
interface Progress extends Plan {
  readonly built: Map<number, Built>
  /** Trees of commits that the transaction finishes or makes. */
  readonly trees: Map<CommitId, CommitTree>
  /** Open commits with so many writes of the transaction. */
  readonly open: Map<CommitId, { readonly writeCount: number; readonly tree: OpenTree }>
}

/**
 * All that a plan needs, each on top of trees that may be of the same plan. Undefined when a commit is
 * not any more what the plan saw.
 *
 * @throws {OperationFailedError} for what cannot be finished, merged or copied.
 */
export async function buildPlanned(
  builder: Builder,
  planned: Plan,
): Promise<BuiltCommits | undefined> {
  const progress: Progress = { ...planned, built: new Map(), trees: new Map(), open: new Map() }
  for (const each of planned.plan) {
    checkCancelled(planned.signal)
    const found = await wrapped(build(builder, each, progress), planned.steps, each.index)
    if (found === undefined) return undefined
    progress.built.set(each.index, found)
  }
  return progress.built
}

async function build(
  builder: Builder,
  plan: PlannedBuild,
  progress: Progress,
): Promise<Built | undefined> {
  switch (plan.kind) {
    case 'copy':
      return builtCopy(builder, plan, progress)
    case 'finish':
      return builtFinish(builder, plan, progress)
    case 'merge':
      return builtMerge(builder, plan, progress)
    default:
      return unreachable(plan)
  }
}

async function builtCopy(
  builder: Builder,
  plan: PlannedCopy,
  progress: Progress,
): Promise<Built | undefined> {
  const { from, fromPath, to, toPath, mode } = plan
  const { trees } = builder.ports
  const source = await rootOf(builder, from, progress)
  const open = await openTreeOf(builder, to, progress)
  if (source === undefined || open === undefined) return undefined
  const found = await trees.get(source, fromPath)
  const { repo, id } = from.commit
  if (found === undefined) throw new FileNotFoundError({ repo, commit: id, path: fromPath })
  const entry = await entryToStage(trees, found)
  const copied = { from: fromPath, to: toPath, entry, mode }
  const write = plan.moves && id === to.commit.id ? moveWrite(copied) : copyWrite(copied)
  await requirePlace(trees, open.tree, { to: { ...to.commit, path: toPath }, mode, entry })
  const built = new Map([[to.commit.id, write]])
  if (plan.moves && id !== to.commit.id) built.set(id, removalOf(fromPath))
  return { kind: 'copy', plan, built }
}

async function rootOf(
  builder: Builder,
  from: PlannedCopy['from'],
  progress: Progress,
): Promise<DirectoryEntry | undefined> {
  if (isOpen(from)) return (await openTreeOf(builder, from, progress))?.tree
  const tree = await treeAt(builder, progress, from.commit.repo, from.commit.id)
  return tree && treeEntry(tree)
}

async function builtFinish(
  builder: Builder,
  plan: PlannedFinish,
  progress: Progress,
): Promise<Built | undefined> {
  const { commit, parent } = plan
  const open = await openTreeOf(builder, plan, progress)
  if (open === undefined) return undefined
  const parentTree = await treeAt(builder, progress, commit.repo, parent)
  const built = await builtCommit(builder.ports, open, parentTree, progress.signal)
  const { root, sizeBytes, fileCount } = open.tree
  progress.trees.set(commit.id, { root, sizeBytes, fileCount })
  return { kind: 'finish', plan, built }
}

/** An open commit with what the transaction has written to it so far. */
async function openTreeOf(
  builder: Builder,
  planned: PlannedOpen,
  progress: Progress,
): Promise<OpenTree | undefined> {
  const { commit, ownWrites } = planned
  const known = progress.open.get(commit.id)
  const base = known?.tree ?? (await baseOf(builder, planned, progress))
  if (base === undefined) return undefined
  const own = ownWrites.slice(known?.writeCount ?? 0)
  const writes = own.map((index) => writeOf(progress, index, commit.id))
  const tree = await builder.openTrees.withWrites(base, writes)
  progress.open.set(commit.id, { writeCount: ownWrites.length, tree })
  return tree
}

async function builtMerge(
  builder: Builder,
  plan: PlannedMerge,
  progress: Progress,
): Promise<Built | undefined> {
  const { repo, id, prefer } = plan
  const { signal } = progress
  const ours = await treeAt(builder, progress, repo, plan.ours)
  if (ours === undefined) return undefined
  const base = await treeAt(builder, progress, repo, plan.base)
  const theirs = await treeAt(builder, progress, repo, plan.theirs)
  const files = builder.ports.trees
  const merged = await mergeTrees(files, { base, ours, theirs, prefer }, signal)
  const { conflicts, conflictCount, tree } = merged
  if (conflictCount > 0 && prefer === undefined) {
    throw new MergeConflictError(
      conflicts.map(({ path }) => path),
      conflictCount,
    )
  }
  if (plan.isRevert && tree.root === ours.root)
    throw new NothingToRevertError(repo, plan.base ?? '')
  requireCountable(`commit ${repo}/${id}`, tree)
  const { addedBytes } = await treeChange(files, ours, tree, signal)
  progress.trees.set(id, tree)
  return { kind: 'merge', plan, built: { tree, addedBytes } }
}

/** The tree of a finished commit; undefined for none. */
async function treeAt(
  { ports, lease }: Builder,
  { trees }: Progress,
  repo: string,
  commit: CommitId | undefined,
): Promise<CommitTree | undefined> {
  const built = commit === undefined ? undefined : trees.get(commit)
  return built ?? (await treeOf(ports, lease, repo, commit))
}

/** What the transaction's own writes come on top of. */
async function baseOf(
  builder: Builder,
  planned: PlannedOpen,
  progress: Progress,
): Promise<OpenTree | undefined> {
  const { openTrees, lease } = builder
  const { commit, parent, stagedBefore } = planned
  if (isStartedByPlan(planned)) {
    return openTrees.startingAt(await treeAt(builder, progress, commit.repo, parent))
  }
  const open = await openTrees.current(commit.id, lease, progress.signal)
  return open?.sequence === stagedBefore ? open : undefined
}

/** What an operation stages in a commit. */
function writeOf({ built, steps }: Progress, index: number, commit: CommitId): StagedColumns {
  const operation = steps[index]?.operation
  if (operation?.kind === 'put-file' || operation?.kind === 'delete-file') {
    return columnsOf(operation)
  }
  const copy = built.get(index)
  const write = copy?.kind === 'copy' ? copy.built.get(commit) : undefined
  assert(write !== undefined, 'only puts, deletions, copies and moves stage writes')
  return write
}

/** With the operation that needs the tree named in what goes wrong. */
async function wrapped<Result>(
  running: Promise<Result>,
  steps: readonly Step[],
  index: number,
): Promise<Result> {
  try {
    return await running
  } catch (error) {
    const step = steps[index]
    if (!(error instanceof DomainError) || step === undefined) throw error
    throw new OperationFailedError(step.operation, { index, count: steps.length }, error)
  }
}
