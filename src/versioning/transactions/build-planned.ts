import { assert, DomainError } from '../../base/errors.ts'
import type { Lease } from '../../storage/leases.ts'
import type { CommitId } from '../../base/names.ts'
import type { CommitTree } from '../commit-records.ts'
import { builtCommit, treeOf } from '../commits/finish-steps.ts'
import { mergeTrees, treeChange } from '../commits/tree-changes.ts'
import { MergeConflictError, NothingToRevertError } from '../errors.ts'
import type { Step } from '../operations.ts'
import type { VersioningPorts } from '../ports.ts'
import { checkCancelled } from '../records/cancellation.ts'
import { requireCountable } from '../records/tree-totals.ts'
import type { OpenTree, OpenTrees } from '../staging/open-trees.ts'
import type { StagedColumns } from '../staging/staged-rows.ts'
import { OperationFailedError } from '../transaction-errors.ts'
import { columnsOf } from './batch.ts'
import {
  type Built,
  type BuiltCommits,
  isStartedByPlan,
  type PlannedBuild,
  type PlannedFinish,
  type PlannedMerge,
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

/** Trees of commits that the transaction finishes or makes. */
type NewTrees = Map<CommitId, CommitTree>

/**
 * All that a plan needs, each on top of trees that may be of the same plan. Undefined when a commit is
 * not any more what the plan saw.
 *
 * @throws {OperationFailedError} for a commit that cannot be finished or merged.
 */
export async function buildPlanned(
  builder: Builder,
  { steps, plan, signal }: Plan,
): Promise<BuiltCommits | undefined> {
  const all = new Map<number, Built>()
  const trees: NewTrees = new Map()
  for (const each of plan) {
    checkCancelled(signal)
    const building =
      each.kind === 'finish'
        ? builtFinish(builder, each, { trees, steps, signal })
        : builtMerge(builder, each, { trees, signal })
    const found = await wrapped(building, steps, each.index)
    if (found === undefined) return undefined
    all.set(each.index, found)
  }
  return all
}

async function builtFinish(
  builder: Builder,
  plan: PlannedFinish,
  {
    trees,
    steps,
    signal,
  }: {
    readonly trees: NewTrees
    readonly steps: readonly Step[]
    readonly signal: AbortSignal | undefined
  },
): Promise<Built | undefined> {
  const { commit, parent } = plan
  const parentTree = await treeAt(builder, trees, commit.repo, parent)
  const base = await baseOf(builder, plan, parentTree, signal)
  if (base === undefined) return undefined
  const own = plan.ownWrites.map((at) => writeOf(steps[at]))
  const open = await builder.openTrees.withWrites(base, own)
  const built = await builtCommit(builder.ports, open, parentTree, signal)
  const { root, sizeBytes, fileCount } = open.tree
  trees.set(commit.id, { root, sizeBytes, fileCount })
  return { kind: 'finish', plan, built }
}

async function builtMerge(
  builder: Builder,
  plan: PlannedMerge,
  { trees, signal }: { readonly trees: NewTrees; readonly signal: AbortSignal | undefined },
): Promise<Built | undefined> {
  const { repo, id, prefer } = plan
  const ours = await treeAt(builder, trees, repo, plan.ours)
  if (ours === undefined) return undefined
  const base = await treeAt(builder, trees, repo, plan.base)
  const theirs = await treeAt(builder, trees, repo, plan.theirs)
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
  trees.set(id, tree)
  return { kind: 'merge', plan, built: { tree, addedBytes } }
}

/** The tree of a finished commit; undefined for none. */
async function treeAt(
  { ports, lease }: Builder,
  trees: NewTrees,
  repo: string,
  commit: CommitId | undefined,
): Promise<CommitTree | undefined> {
  const built = commit === undefined ? undefined : trees.get(commit)
  return built ?? (await treeOf(ports, lease, repo, commit))
}

/** What the transaction's own writes come on top of. */
async function baseOf(
  { openTrees, lease }: Builder,
  finish: PlannedFinish,
  parent: CommitTree | undefined,
  signal: AbortSignal | undefined,
): Promise<OpenTree | undefined> {
  if (isStartedByPlan(finish)) return openTrees.startingAt(parent)
  const open = await openTrees.current(finish.commit.id, lease, signal)
  return open?.sequence === finish.stagedBefore ? open : undefined
}

function writeOf(step: Step | undefined): StagedColumns {
  const operation = step?.operation
  assert(
    operation?.kind === 'put-file' || operation?.kind === 'delete-file',
    'only puts and deletions stage writes',
  )
  return columnsOf(operation)
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
