import type { CommitId } from '../../base/names.ts'
import type { Transaction } from '../../database/database.ts'
import { seal, sealAfterAttempts, unseal } from '../commits/finish-steps.ts'
import type { Step, StepResult } from '../operations.ts'
import type { VersioningPorts } from '../ports.ts'
import { checkCancelled } from '../records/cancellation.ts'
import type { OpenTrees } from '../staging/open-trees.ts'
import { sweepCommit } from '../staging/sweep.ts'
import { Batch } from './batch.ts'
import { buildPlanned } from './build-planned.ts'
import { isBuilt, openBefore, OutrunError, type PlannedBuild } from './planned-builds.ts'

/** What a batch is part of: done in the same database transaction. */
export interface Surroundings {
  /** Before the operations. What it throws ends the batch. */
  readonly before?: (tx: Transaction) => Promise<void>
  /** After them. `at` is when everything happened. */
  readonly after?: (
    tx: Transaction,
    results: readonly (StepResult | undefined)[],
    at: number,
  ) => Promise<void>
}

/**
 * Applies operations in one database transaction, all or none; `onHeadReady` hears once of all
 * heads that are ready at its end.
 *
 * The trees of commits that it finishes or makes are built before, by a plan; should a put come between, they
 * are built anew, and after a few tries puts are made to wait.
 *
 * @throws {OperationFailedError}
 */
export async function runBatch(
  ports: VersioningPorts,
  openTrees: OpenTrees,
  steps: readonly Step[],
  options: Surroundings & { readonly signal?: AbortSignal | undefined },
): Promise<readonly (StepResult | undefined)[]> {
  const { signal } = options
  const builds = steps.some(({ operation }) => isBuilt(operation))
  let sealed: readonly CommitId[] = []
  try {
    for (let attempt = 1; ; attempt += 1) {
      checkCancelled(signal)
      const plan = builds ? await planBatch(ports, steps) : []
      if (attempt > sealAfterAttempts) {
        sealed = plan.flatMap(openBefore)
        await seal(ports, sealed)
      }
      const done = await tryBatch(ports, openTrees, { steps, plan, ...options })
      if (done === undefined) continue
      for (const id of done.ended) {
        openTrees.forget(id)
        await sweepCommit(ports.database, id, signal)
      }
      return done.results
    }
  } finally {
    if (sealed.length > 0) await unseal(ports, sealed)
  }
}

/**
 * Goes through the operations as they would be applied now, and leaves nothing of it.
 *
 * @throws {OperationFailedError}
 */
export async function planBatch(
  { clock, database, uses }: VersioningPorts,
  steps: readonly Step[],
): Promise<readonly PlannedBuild[]> {
  const at = clock.now()
  const planned = await database
    .transact(async (tx): Promise<RolledBack> => {
      const batch = new Batch(tx, { at, uses })
      await batch.apply(steps)
      throw new RolledBack(batch.builds)
    })
    .catch((error: unknown) => {
      if (error instanceof RolledBack) return error
      throw error
    })
  return planned.builds
}

/** Thrown so that the database forgets what a plan has tried. */
class RolledBack extends Error {
  override readonly name = 'RolledBack'
  readonly builds: readonly PlannedBuild[]

  constructor(builds: readonly PlannedBuild[]) {
    super('a plan leaves nothing')
    this.builds = builds
  }
}

interface Attempt extends Surroundings {
  readonly steps: readonly Step[]
  readonly plan: readonly PlannedBuild[]
  readonly signal?: AbortSignal | undefined
}

/** Undefined when a put has come between. */
async function tryBatch(
  ports: VersioningPorts,
  openTrees: OpenTrees,
  attempt: Attempt,
): Promise<Pick<Batch, 'results' | 'ended'> | undefined> {
  const { steps, before, after } = attempt
  using lease = ports.leases.begin()
  const built = await buildPlanned({ ports, openTrees, lease }, attempt)
  if (built === undefined) return undefined
  if (built.size > 0) await ports.chunks.flush()
  const at = ports.clock.now()
  try {
    return await ports.database.transact(async (tx) => {
      await before?.(tx)
      const batch = new Batch(tx, { at, uses: ports.uses, built })
      await batch.apply(steps)
      const heads = await batch.readyHeads()
      if (heads.length > 0) await ports.onHeadReady(tx, heads)
      await after?.(tx, batch.results, at)
      return batch
    })
  } catch (error) {
    if (error instanceof OutrunError) return undefined
    throw error
  }
}
