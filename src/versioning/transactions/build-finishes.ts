import { assert, DomainError } from '../../base/errors.ts'
import type { Lease } from '../../storage/leases.ts'
import type { CommitId } from '../../base/names.ts'
import type { CommitTree } from '../commit-records.ts'
import { type BuiltCommit, builtCommit, treeOf } from '../commits/finish-steps.ts'
import type { Step } from '../operations.ts'
import type { VersioningPorts } from '../ports.ts'
import { checkCancelled } from '../records/cancellation.ts'
import type { OpenTree, OpenTrees } from '../staging/open-trees.ts'
import type { StagedColumns } from '../staging/staged-rows.ts'
import { OperationFailedError } from '../transaction-errors.ts'
import { type BuiltFinishes, columnsOf, isStartedByPlan, type PlannedFinish } from './batch.ts'

interface Builder {
  readonly ports: VersioningPorts
  readonly openTrees: OpenTrees
  /** Keeps what is put, and what it is built on. */
  readonly lease: Lease
}

interface Plan {
  readonly steps: readonly Step[]
  readonly plan: readonly PlannedFinish[]
  readonly signal?: AbortSignal | undefined
}

/**
 * The trees of all commits that a plan finishes, each on top of its parent's, which may be one of
 * them. Undefined when a commit is not any more what the plan saw.
 *
 * @throws {OperationFailedError} for a commit that cannot be finished.
 */
export async function buildFinishes(
  builder: Builder,
  { steps, plan, signal }: Plan,
): Promise<BuiltFinishes | undefined> {
  const finishes = new Map<number, { readonly plan: PlannedFinish; readonly built: BuiltCommit }>()
  const trees = new Map<CommitId, CommitTree>()
  for (const finish of plan) {
    checkCancelled(signal)
    const { index, commit, parent } = finish
    const parentTree =
      (parent === undefined ? undefined : trees.get(parent)) ??
      (await treeOf(builder.ports, builder.lease, commit.repo, parent))
    const base = await baseOf(builder, finish, parentTree, signal)
    if (base === undefined) return undefined
    const own = finish.ownWrites.map((at) => writeOf(steps[at]))
    const open = await builder.openTrees.withWrites(base, own)
    const built = await wrapped(builtCommit(builder.ports, open, parentTree, signal), steps, index)
    const { root, sizeBytes, fileCount } = open.tree
    trees.set(commit.id, { root, sizeBytes, fileCount })
    finishes.set(index, { plan: finish, built })
  }
  return finishes
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

/** With the operation that finishes the commit named in what goes wrong. */
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
