import { CancelledError, DomainError } from '../../base/errors.ts'
import { encodeLog } from '../datum-logs.ts'
import type { WorkerActivity } from '../active-workers.ts'
import type { DatumRecord } from '../datum-sets.ts'
import type { DatumFailure, DatumResult } from '../datum-results.ts'
import type { DatumMember } from '../datums.ts'
import type { DatumOutcome, WorkMember } from '../datum-worker.ts'
import { atomsOf } from '../inputs.ts'
import { memberEntry } from '../member-entries.ts'
import { addStats, noStats, type ProcessStats } from '../job-records.ts'
import { Interruption } from './interruption.ts'
import type { JobPlan } from './plan.ts'
import type { RunPorts } from '../run-ports.ts'
import type { RunLog } from '../running-logs.ts'
import type { Turns } from './turns.ts'
import type { WorkerPool } from './worker-pool.ts'

/** After this many failures of user code the datum fails. */
const userAttemptCountMax = 4
/** After this many failures of ours the datum fails, too, and says that the fault is not its own. */
const internalAttemptCountMax = 5

export type DatumEnd =
  | { readonly kind: 'result'; readonly result: DatumResult }
  /** `hopeless`: other datums would fail in the same way, as when the program does not exist. */
  | { readonly kind: 'failure'; readonly failure: DatumFailure; readonly hopeless: boolean }

/** Who processes the datums of a job, and how many of them run user code at once. */
export interface JobWorkers {
  readonly pool: WorkerPool
  readonly turns: Turns
}

/** What processes one datum after the other. */
export interface JobWorker extends JobWorkers {
  readonly id: string
  /** Of the datums that it has processed for this job. */
  stats: ProcessStats
}

/**
 * Processes one datum to its end: user code that fails is tried again as in 1.5, our own failures
 * with growing pauses. Whoever records the end closes the log of the run; an error closes it.
 *
 * @throws {CancelledError} when `signal` aborts.
 */
export async function runDatum(
  ports: RunPorts,
  plan: JobPlan,
  worker: JobWorker,
  datum: DatumRecord,
  signal: AbortSignal,
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
  const common = { datum: datum.key, members: datum.members, job: job.id, worker: worker.id }
  const log = ports.logs.open(job, datum, worker.id)
  let userFailures = 0
  let internalFailures = 0
  try {
    for (;;) {
      const parts = { worker, activity, log, interruption: attempts.next() }
      const attempt = await attemptDatum(ports, plan, parts, datum, signal)
      const stats = 'stats' in attempt ? attempt.stats : noStats
      worker.stats = addStats(worker.stats, stats)
      const end = {
        ...common,
        stats,
        finishedAt: ports.clock.now(),
        log: encodeLog(log.log.lines()),
      }
      if (attempt.kind === 'success') {
        return { kind: 'result', result: { ...end, output: attempt.output } }
      }
      if (attempt.kind === 'failure') userFailures += 1
      else internalFailures += 1
      const spent =
        userFailures >= userAttemptCountMax || internalFailures >= internalAttemptCountMax
      const hopeless = attempt.kind === 'hopeless'
      if (spent || hopeless) {
        return { kind: 'failure', failure: { ...end, reason: attempt.reason }, hopeless }
      }
      log.note(`(try ${activity.attempt} failed: ${attempt.reason})`, ports.clock.now())
      activity.attempt += 1
      activity.lastReason = attempt.reason
      const jitter = 0.5 + ports.random.fraction()
      const pauseMs = ports.retryPauseMs * jitter * 2 ** internalFailures
      await pause(ports, pauseMs, attempts.next())
      activity.queueSize = 1
    }
  } catch (error) {
    ports.logs.close(job.id, datum.key)
    throw error
  }
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

type Attempt = DatumOutcome | { readonly kind: 'internal' | 'hopeless'; readonly reason: string }

async function attemptDatum(
  ports: RunPorts,
  plan: JobPlan,
  {
    worker,
    activity,
    log,
    interruption,
  }: {
    readonly worker: JobWorker
    readonly activity: WorkerActivity
    readonly log: RunLog
    readonly interruption: Interruption
  },
  datum: DatumRecord,
  signal: AbortSignal,
): Promise<Attempt> {
  try {
    await using lease = await worker.pool.lease(plan.spec.transform, signal)
    return await lease.process({
      members: await membersOf(ports, plan, datum.members),
      environment: environmentOf(plan, datum),
      onLine: (line) => log.add(line),
      onLeftOut: (lineCount) => log.leaveOut(lineCount),
      turn: async () => {
        const turn = await worker.turns.take()
        activity.queueSize = 0
        return turn
      },
      signal: interruption.signal,
    })
  } catch (error) {
    const { reason } = interruption
    if (reason !== undefined) return { kind: 'failure', reason, stats: noStats }
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

async function membersOf(
  ports: RunPorts,
  plan: JobPlan,
  members: readonly DatumMember[],
): Promise<readonly WorkMember[]> {
  const work: WorkMember[] = []
  for (const member of members) {
    const entry = await memberEntry(ports.trees, plan.spec.input, plan.inputTrees, member)
    work.push({ input: member.input, path: member.path, entry })
  }
  return work
}

function environmentOf(plan: JobPlan, datum: DatumRecord): Readonly<Record<string, string>> {
  const environment: Record<string, string> = {}
  for (const atom of atomsOf(plan.spec.input)) {
    const given = datum.members.some(({ input }) => input === atom.name)
    const commit = plan.job.inputs.find(({ repo }) => repo === atom.repo)?.commit
    if (given && commit !== undefined) environment[`${atom.name}_COMMIT`] = commit
  }
  environment['PACH_JOB_ID'] = plan.job.id
  environment['PACH_DATUM_ID'] = datum.key
  environment['PACH_OUTPUT_COMMIT_ID'] = plan.job.outputCommit
  return environment
}
