import type { OnWait, Transform } from '../executor.ts'
import type { DatumOutcome, DatumWork, DatumWorker, DatumWorkers } from '../datum-worker.ts'
import type { Clock } from '../../base/clock.ts'
import type { RunLog, RunPorts } from './run-ports.ts'
import type { SecretsGrant } from '../secrets.ts'

/** A worker that has had nothing to do for this long is closed, unless the pipeline says how long. */
const usualIdleMs = 30_000
/** Whatever the pipeline says: between two datums of a job, workers are idle, too. */
const idleMsMin = 1000

/** A worker for the time of one attempt at a datum; disposing hands it back. */
export interface WorkerLease extends AsyncDisposable {
  process(work: DatumWork): Promise<DatumOutcome>
}

interface IdleWorker {
  readonly worker: DatumWorker
  readonly wanted: string
  readonly sinceMs: number
}

/**
 * The warm workers of one pipeline. A worker that threw is not used again. All workers are for one
 * transform and one grant: asking for another closes those that are idle.
 */
export class WorkerPool implements AsyncDisposable {
  readonly #workers: DatumWorkers
  readonly #clock: Clock
  readonly #log: RunLog
  readonly #idle: IdleWorker[] = []
  #idleMs = usualIdleMs
  /** Ends the pause of the watch over idle workers. */
  #pause = new AbortController()
  #isWatching = false
  /** The transform that was asked for last, the same as text, and what all workers are for. */
  #transform: Transform | undefined
  #transformText = ''
  #wanted = ''
  #closed = false

  constructor(ports: Pick<RunPorts, 'workers' | 'clock' | 'log'>) {
    this.#workers = ports.workers
    this.#clock = ports.clock
    this.#log = ports.log
  }

  /** How long workers wait for work before they are closed; undefined for as long as usual. */
  keepIdle(ms: number | undefined): void {
    const idleMs = Math.max(idleMsMin, ms ?? usualIdleMs)
    if (idleMs === this.#idleMs) return
    this.#idleMs = idleMs
    this.#pause.abort()
  }

  async lease(
    transform: Transform,
    signal: AbortSignal,
    grant?: SecretsGrant,
    onWait?: OnWait,
  ): Promise<WorkerLease> {
    if (transform !== this.#transform) this.#transformText = JSON.stringify(transform)
    this.#transform = transform
    const wanted = `${grant?.revision ?? ''}\n${this.#transformText}`
    const isOther = wanted !== this.#wanted
    this.#wanted = wanted
    if (isOther) await this.closeIdle()
    // The one that was used last: those that are not needed become idle for good.
    const idle = this.#idle.at(-1)?.wanted === wanted ? this.#idle.pop() : undefined
    const worker = idle?.worker ?? (await this.#open(transform, signal, grant, onWait))
    let sound = false
    return {
      process: async (work) => {
        const outcome = await worker.process(work)
        sound = true
        return outcome
      },
      [Symbol.asyncDispose]: async () => {
        if (sound && !this.#closed && wanted === this.#wanted) this.#keep(worker, wanted)
        else await worker[Symbol.asyncDispose]()
      },
    }
  }

  async #open(
    transform: Transform,
    signal: AbortSignal,
    grant: SecretsGrant | undefined,
    onWait: OnWait | undefined,
  ): Promise<DatumWorker> {
    return await this.#workers.open(transform, signal, await grant?.open(), onWait)
  }

  #keep(worker: DatumWorker, wanted: string): void {
    this.#idle.push({ worker, wanted, sinceMs: this.#clock.monotonicMs() })
    if (!this.#isWatching) void this.#watch()
  }

  /** Closes what has been idle too long, for as long as anything is idle. One timer does for all. */
  async #watch(): Promise<void> {
    this.#isWatching = true
    try {
      for (let [oldest] = this.#idle; oldest !== undefined; [oldest] = this.#idle) {
        const leftMs = oldest.sinceMs + this.#idleMs - this.#clock.monotonicMs()
        if (leftMs > 0) {
          this.#pause = new AbortController()
          // Whoever ends the pause has another look taken.
          await this.#clock.sleep(leftMs, this.#pause.signal).catch(() => undefined)
        } else {
          this.#idle.shift()
          await oldest.worker[Symbol.asyncDispose]()
        }
      }
    } catch (error) {
      this.#log.error('an idle worker did not close', error)
    } finally {
      this.#isWatching = false
    }
  }

  /** Closes the workers that have nothing to do. */
  async closeIdle(): Promise<void> {
    const idle = this.#idle.splice(0)
    await Promise.all(idle.map(({ worker }) => worker[Symbol.asyncDispose]()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    const closed = this.closeIdle()
    this.#pause.abort()
    await closed
  }
}
