import type { WorkerActivity } from '../active-workers.ts'
import { encodeLog } from '../datum-logs.ts'
import type { DatumFailure, DatumResult } from '../datum-results.ts'
import { addStats, noStats, type ProcessStats } from '../process-stats.ts'
import type { RunPorts } from './run-ports.ts'
import type { RunLog } from '../logs/running-logs.ts'
import { attemptDatum, type Attempt } from './datum-attempt.ts'
import type { PendingDatum } from './inputs-ahead.ts'
import { Interruption } from './interruption.ts'
import type { JobPlan } from './plan.ts'
import type { Semaphore } from '../../base/semaphore.ts'
import type { WorkerPool } from './worker-pool.ts'

/** After this many failures of user code the datum fails, unless its pipeline says otherwise. */
const userAttemptCountMax = 4
/** After this many failures of ours the datum fails, too, and says that the fault is not its own. */
const internalAttemptCountMax = 5
const microsPerMilli = 1000

export type DatumEnd =
  | { readonly kind: 'result'; readonly result: DatumResult }
  /** `hopeless`: other datums would fail in the same way, as when the program does not exist. */
  | { readonly kind: 'failure'; readonly failure: DatumFailure; readonly hopeless: boolean }

/** Who processes the datums of a job, and how many of them run user code at once. */
export interface JobWorkers {
  readonly pool: WorkerPool
  /** For the error command. */
  readonly errorPool: WorkerPool
  readonly places: Semaphore
}

/** What processes one datum after the other. */
export interface JobWorker extends JobWorkers {
  readonly id: string
  /** Of the datums that it has processed for this job. */
  stats: ProcessStats
}

/** What ends a run before its time, and who hears of how it goes. */
export interface RunWatch {
  readonly signal: AbortSignal
  /** Called before anything of the datum's output is put, perhaps once for each try. */
  readonly onStoring: () => void
  /** Called with what had run; its log is theirs to close. */
  readonly onStopped: (run: DatumFailure) => void
}

/** The last try at a datum, and whether there could be more. */
type LastAttempt =
  | Extract<Attempt, { readonly kind: 'success' }>
  | (Exclude<Attempt, { readonly kind: 'success' }> & { readonly tryCount: number })

/**
 * Processes one datum to its end: user code that fails is tried again as in 1.5, our own failures
 * with growing pauses. When user code has failed for good, and the pipeline has an error command,
 * its success lets the datum go. Whoever records the end closes the log of the run. What it printed is
 * given to `onStopped` when it is cut off.
 *
 * @throws {CancelledError} when `signal` aborts.
 */
export async function runDatum(
  ports: RunPorts,
  plan: JobPlan,
  worker: JobWorker,
  datum: PendingDatum,
  { signal, onStoring, onStopped }: RunWatch,
): Promise<DatumEnd> {
  const { job } = plan
  using attempts = new Attempts(signal)
  const activity: WorkerActivity = {
    id: worker.id,
    job: job.id,
    members: datum.members,
    startedAt: ports.clock.now(),
    stats: worker.stats,
    queueSize: 1,
    attempt: 1,
    lastReason: '',
    restart: () => attempts.end('it was restarted by a user'),
  }
  using _ = ports.active.begin(activity)
  const log = ports.logs.open(job, datum, worker.id)
  const run = { datum, worker, activity, log, attempts, onStoring }
  const endOf = (attempt: Attempt | { readonly stats: ProcessStats }) => ({
    datum: datum.key,
    members: datum.members,
    job: job.id,
    worker: worker.id,
    stats: 'stats' in attempt ? attempt.stats : noStats,
    finishedAt: ports.clock.now(),
    log: encodeLog(log.lines()),
  })
  try {
    const last = await tryDatum(ports, plan, run, signal)
    if (last.kind === 'success') {
      return { kind: 'result', result: { ...endOf(last), output: last.output } }
    }
    const { reason, isRecovered } = await handleError(ports, plan, run, last, signal)
    const hopeless = last.kind === 'hopeless'
    return { kind: 'failure', failure: { ...endOf(last), reason, isRecovered }, hopeless }
  } catch (error) {
    const { begunAt, attempt } = activity
    if (begunAt === undefined) ports.logs.close(job.id, datum.key)
    else {
      const processMs = Math.round((ports.clock.now() - begunAt) / microsPerMilli)
      const reason = `it was in try ${attempt} when its job was ended`
      const end = endOf({ stats: { ...noStats, processMs } })
      onStopped({ ...end, reason, isRecovered: false, isStopped: true })
    }
    throw error
  }
}

interface DatumRun {
  readonly datum: PendingDatum
  readonly worker: JobWorker
  readonly activity: WorkerActivity
  readonly log: RunLog
  readonly attempts: Attempts
  readonly onStoring: () => void
}

/** Until a try succeeds, or there have been enough of them. */
async function tryDatum(
  ports: RunPorts,
  plan: JobPlan,
  run: DatumRun,
  signal: AbortSignal,
): Promise<LastAttempt> {
  const { worker, activity, log, attempts } = run
  const { transform } = plan
  const { datumTries = userAttemptCountMax } = plan.spec
  let userFailures = 0
  let internalFailures = 0
  for (;;) {
    const parts = { ...run, ...worker, transform, interruption: attempts.next() }
    const attempt = await attemptDatum(ports, plan, parts, signal)
    if ('stats' in attempt) worker.stats = addStats(worker.stats, attempt.stats)
    if (attempt.kind === 'success') return attempt
    if (attempt.kind === 'failure') userFailures += 1
    else internalFailures += 1
    const isSpent = userFailures >= datumTries || internalFailures >= internalAttemptCountMax
    if (isSpent || attempt.kind === 'hopeless') return { ...attempt, tryCount: activity.attempt }
    log.note(`(try ${activity.attempt} failed: ${attempt.reason})`, ports.clock.now())
    activity.attempt += 1
    activity.lastReason = attempt.reason
    await pause(ports, pauseMsAfterOurs(ports, internalFailures), attempts.next())
    activity.queueSize = 1
  }
}

/** Runs the error command of the pipeline, if it has one and user code is to blame. */
async function handleError(
  ports: RunPorts,
  plan: JobPlan,
  run: DatumRun,
  last: Exclude<LastAttempt, { readonly kind: 'success' }>,
  signal: AbortSignal,
): Promise<{ readonly reason: string; readonly isRecovered: boolean }> {
  const { isWarm: _, ...transform } = plan.transform
  const { errorCommand } = plan.spec
  const { reason } = last
  if (errorCommand === undefined || last.kind !== 'failure') return { reason, isRecovered: false }
  const { worker, activity, log, attempts } = run
  log.note(`(try ${last.tryCount} failed: ${reason}; running err_cmd)`, ports.clock.now())
  activity.lastReason = reason
  activity.queueSize = 1
  const parts = {
    ...run,
    pool: worker.errorPool,
    places: worker.places,
    transform: { ...transform, ...errorCommand },
  }
  for (let count = 1; ; count += 1) {
    const interruption = attempts.next()
    const attempt = await attemptDatum(ports, plan, { ...parts, interruption }, signal)
    if (attempt.kind === 'success') return { reason, isRecovered: true }
    if (attempt.kind !== 'internal' || count >= internalAttemptCountMax) {
      return { reason: `${reason}; its err_cmd failed, too: ${attempt.reason}`, isRecovered: false }
    }
    activity.queueSize = 1
    await pause(ports, pauseMsAfterOurs(ports, count), attempts.next())
  }
}

/** After so many failures of ours. */
function pauseMsAfterOurs({ random, retryPauseMs }: RunPorts, failureCount: number): number {
  return retryPauseMs * (0.5 + random.fraction()) * 2 ** failureCount
}

/** What may be interrupted of a datum's run, one after the other: tries, and the pauses between. */
class Attempts implements Disposable {
  readonly #signal: AbortSignal
  #current: Interruption | undefined

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  next(): Interruption {
    this.#current?.[Symbol.dispose]()
    this.#current = new Interruption(this.#signal)
    return this.#current
  }

  end(reason: string): void {
    this.#current?.end(reason)
  }

  [Symbol.dispose](): void {
    this.#current?.[Symbol.dispose]()
  }
}

/** @throws {CancelledError} when the run is over; a restart only ends the pause. */
async function pause(ports: RunPorts, ms: number, interruption: Interruption): Promise<void> {
  try {
    await ports.clock.sleep(ms, interruption.signal)
  } catch (error) {
    if (interruption.reason === undefined) throw error
  }
}
