import { CancelledError, DomainError } from '../../base/errors.ts'
import { shortageError } from '../../base/shortages.ts'
import type { WorkerActivity } from '../active-workers.ts'
import type { DatumOutcome, DatumWork, WorkMember } from '../datum-worker.ts'
import type { Transform } from '../executor.ts'
import { atomsOf } from '../inputs.ts'
import { noStats } from '../process-stats.ts'
import { memberEntry } from '../datums/member-entries.ts'
import type { SecretsGrant } from '../secrets.ts'
import type { RunPorts } from './run-ports.ts'
import type { RunLog } from '../logs/running-logs.ts'
import { commitVariables } from './commit-variables.ts'
import type { PendingDatum } from './inputs-ahead.ts'
import type { Interruption } from './interruption.ts'
import { newContents } from './new-contents.ts'
import { OpeningWatch } from './opening-watch.ts'
import type { JobPlan } from './plan.ts'
import { TimeLimit } from './time-limit.ts'
import { WarmingWatch } from './warming-watch.ts'
import type { Semaphore } from '../../base/semaphore.ts'
import type { WorkerLease, WorkerPool } from './worker-pool.ts'

/** How a try ended. `hopeless`: other datums would fail in the same way. */
export type Attempt =
  | DatumOutcome
  | { readonly kind: 'internal' | 'hopeless'; readonly reason: string }

/** What is run of a datum, and by what. */
export interface AttemptOf {
  readonly datum: PendingDatum
  readonly transform: Transform
  readonly pool: WorkerPool
  readonly places: Semaphore
  readonly activity: WorkerActivity
  readonly log: RunLog
  readonly onStoring: () => void
  /** Ends the try as a failure of user code. */
  readonly interruption: Interruption
}

/**
 * Runs user code once for a datum.
 *
 * @throws {CancelledError} when `signal` aborts.
 */
export async function attemptDatum(
  ports: RunPorts,
  plan: JobPlan,
  { datum, transform, pool, places, activity, log, onStoring, interruption }: AttemptOf,
  signal: AbortSignal,
): Promise<Attempt> {
  let begunMs: number | undefined
  using warming = new WarmingWatch(ports.clock, { spec: plan.spec, interruption, log })
  using limits = new DisposableStack()
  try {
    const grant = await ports.secrets.grant(plan.spec.secrets)
    await using lease = await leaseOf(ports, { pool, transform, activity, log, grant }, signal)
    return await lease.process({
      ...(await contentsOf(ports, plan, datum)),
      environment: environmentOf(plan, datum),
      onLine: (line) => log.add(line),
      onLeftOut: (lineCount) => log.leaveOut(lineCount),
      onWarming: (isWarming) => warming.set(isWarming),
      onStoring,
      place: async () => {
        using held = new DisposableStack()
        held.use(await places.take())
        // The place may be that of another datum that was cut off with this one.
        interruption.signal.throwIfAborted()
        activity.queueSize = 0
        activity.begunAt = ports.clock.now()
        begunMs = ports.clock.monotonicMs()
        const limit = timeLimit(ports, plan, () => interruption.end(warming.timeoutText))
        // Longer than the place is held: storing the output is part of it.
        if (limit !== undefined) limits.use(limit)
        return held.move()
      },
      signal: interruption.signal,
    })
  } catch (thrown) {
    const error = shortageError(thrown) ?? thrown
    const { reason } = interruption
    if (reason !== undefined) {
      const processMs = begunMs === undefined ? 0 : ports.clock.monotonicMs() - begunMs
      return { kind: 'failure', reason, stats: { ...noStats, processMs: Math.round(processMs) } }
    }
    if (signal.aborted || error instanceof CancelledError) {
      throw new CancelledError('the job was interrupted', { cause: error })
    }
    // What the server can say about the cause is said; anything else is a bug and stays here.
    if (!(error instanceof DomainError)) ports.log.error(`datum ${datum.key} met an error`, error)
    const text = error instanceof DomainError ? error.message : 'internal error; see the server log'
    if (error instanceof DomainError && error.kind === 'failed-precondition') {
      return { kind: 'hopeless', reason: text }
    }
    return { kind: 'internal', reason: text }
  }
}

/** Takes a worker, and tells meanwhile what it waits for. */
async function leaseOf(
  { clock }: RunPorts,
  {
    pool,
    transform,
    activity,
    log,
    grant,
  }: Pick<AttemptOf, 'pool' | 'transform' | 'activity' | 'log'> & {
    readonly grant: SecretsGrant | undefined
  },
  signal: AbortSignal,
): Promise<WorkerLease> {
  using opening = new OpeningWatch(clock, { activity, log })
  return await pool.lease(transform, signal, grant, (what) => opening.set(what))
}

/** From the start of user code. */
function timeLimit(
  { clock }: RunPorts,
  { spec }: JobPlan,
  onOver: () => void,
): TimeLimit | undefined {
  const { datumTimeoutMs } = spec
  return datumTimeoutMs === undefined ? undefined : new TimeLimit(clock, datumTimeoutMs, onOver)
}

/** What the datum's code is shown: all of its members, or what is new in them. */
async function contentsOf(
  ports: RunPorts,
  plan: JobPlan,
  datum: PendingDatum,
): Promise<Pick<DatumWork, 'members' | 'formerOutput'>> {
  const members = await membersOf(ports, plan, datum)
  return (await newContents(ports, plan, { key: datum.key, members })) ?? { members }
}

async function membersOf(
  ports: RunPorts,
  plan: JobPlan,
  { members, entries }: PendingDatum,
): Promise<readonly WorkMember[]> {
  const work: WorkMember[] = []
  const lazy = atomsOf(plan.spec.input).filter((atom) => atom.lazy)
  for (const [index, member] of members.entries()) {
    const entry =
      entries?.[index] ?? (await memberEntry(ports.trees, plan.spec.input, plan.inputTrees, member))
    const isLazy = lazy.some(({ name }) => name === member.input)
    work.push({ input: member.input, path: member.path, entry, ...(isLazy && { isLazy }) })
  }
  return work
}

function environmentOf(plan: JobPlan, datum: PendingDatum): Readonly<Record<string, string>> {
  const given = new Set(datum.members.map(({ input }) => input))
  return {
    ...commitVariables(plan, (input) => given.has(input)),
    PPS_PIPELINE_NAME: plan.spec.tries ?? plan.spec.name,
    PACH_JOB_ID: plan.job.id,
    PACH_DATUM_ID: datum.key,
    PACH_OUTPUT_COMMIT_ID: plan.job.outputCommit,
  }
}
