import { CancelledError } from '../../base/errors.ts'
import { type Pauses, pauseMsAfter } from '../../base/retries.ts'
import { whatRuns } from '../active-workers.ts'
import { type JobRecord, noteRunTime, setJobState } from '../job-records.ts'
import type { RunPorts } from './run-ports.ts'
import { limitText } from './time-limit.ts'

/** Time is noted ahead in steps of a tenth of the limit, and no longer than this. */
const stepMsMax = 10_000
const stepsPerLimit = 10

const nothing: Disposable = { [Symbol.dispose]: () => undefined }

/** Before the job is tried to be ended again. */
const killPauses: Pauses = { pauseMs: 500, pauseMsMax: 30_000 }

type DeadlinePorts = Pick<RunPorts, 'clock' | 'log'> & {
  readonly database: Pick<RunPorts['database'], 'transact'>
  readonly active: Pick<RunPorts['active'], 'of'>
}

/**
 * Kills the job when it has run longer than its pipeline allows; whoever runs it hears of it as of any
 * job that is ended by others. What counts is the time in which it was run, from finding its datums on,
 * however often it was interrupted; not that in which the server or the pipeline was stopped, nor that of
 * pauses which are held.
 *
 * A step of time is noted before it has passed, and what is left of it is given back when the run ends.
 * So of a run that is cut off with its server a step too much is counted at most, and nothing too
 * little: a server that dies again and again does not make the limit endless.
 */
export class JobDeadline implements AsyncDisposable {
  readonly #ports: DeadlinePorts
  readonly #job: JobRecord
  readonly #limitMs: number
  readonly #begunMs: number
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  /** How long it was held. */
  #heldMs = 0
  /** While it is held: since when, and what is resolved when that ends. */
  #hold: { readonly sinceMs: number; readonly ended: PromiseWithResolvers<void> } | undefined

  /** Begins to count. */
  constructor(ports: DeadlinePorts, job: JobRecord, limitMs: number) {
    this.#ports = ports
    this.#job = job
    this.#limitMs = limitMs
    this.#begunMs = ports.clock.monotonicMs()
    this.#done = this.#watch()
  }

  get #ranMs(): number {
    const nowMs = this.#hold?.sinceMs ?? this.#ports.clock.monotonicMs()
    return this.#job.ranMs + nowMs - this.#begunMs - this.#heldMs
  }

  /**
   * Has what passes not count until the result is disposed of; one at a time, a second one changes nothing.
   * Not while datums run: code that fills the disk without end is to end, whatever waits for the disk.
   */
  hold(): Disposable {
    const { active, clock } = this.#ports
    if (this.#hold !== undefined || active.of(this.#job.id).length > 0) return nothing
    const hold = { sinceMs: clock.monotonicMs(), ended: Promise.withResolvers<void>() }
    this.#hold = hold
    return {
      [Symbol.dispose]: () => {
        this.#heldMs += clock.monotonicMs() - hold.sinceMs
        this.#hold = undefined
        hold.ended.resolve()
      },
    }
  }

  async #watch(): Promise<void> {
    const { clock } = this.#ports
    const { signal } = this.#stop
    const stepMs = Math.min(stepMsMax, this.#limitMs / stepsPerLimit)
    try {
      while (this.#ranMs < this.#limitMs) {
        const untilMs = Math.min(this.#limitMs, this.#ranMs + stepMs)
        await this.#note(untilMs)
        await clock.sleep(Math.max(0, untilMs - this.#ranMs), signal)
        await this.#hold?.ended.promise
      }
      for (let count = 1; !signal.aborted; count += 1) {
        if (await this.#kill()) return
        await clock.sleep(pauseMsAfter(killPauses, count), signal)
      }
    } catch (error) {
      if (!(error instanceof CancelledError)) throw error
    }
  }

  /** The limit holds in this run even where the time cannot be noted. */
  async #note(ranMs: number): Promise<void> {
    const { database, log } = this.#ports
    const { id } = this.#job
    try {
      await database.transact((tx) => noteRunTime(tx, id, Math.ceil(ranMs)))
    } catch (error) {
      log.error(`the time that job ${id} has run could not be noted`, error)
    }
  }

  /** False when it is to be tried again. What runs without end writes without end: the reserve is for that, too. */
  async #kill(): Promise<boolean> {
    const { active, clock, database, log } = this.#ports
    const { id } = this.#job
    const limit = limitText(this.#limitMs)
    const reason = `it ran longer than the job_timeout of ${limit}${whatRuns(active, this.#job)}`
    const at = clock.now()
    try {
      await database.transact((tx) => setJobState(tx, id, { state: 'killed', reason, at }), {
        usesReserve: true,
      })
      return true
    } catch (error) {
      log.error(`job ${id} could not be ended at its job_timeout`, error)
      return false
    }
  }

  /** The run is over. */
  async [Symbol.asyncDispose](): Promise<void> {
    const ranMs = this.#ranMs
    this.#stop.abort()
    this.#hold?.ended.resolve()
    await this.#done
    await this.#note(ranMs)
  }
}
