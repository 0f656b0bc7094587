import type { Transform } from '../executor.ts'
import type { DatumOutcome, DatumWork, DatumWorker, DatumWorkers } from '../datum-worker.ts'
import type { Clock } from '../../base/clock.ts'
import type { RunLog, RunPorts } from '../run-ports.ts'

/** A worker that has had nothing to do for this long is closed. */
const idleMs = 30_000

/** A worker for the time of one attempt at a datum; disposing hands it back. */
export interface WorkerLease extends AsyncDisposable {
  process(work: DatumWork): Promise<DatumOutcome>
}

interface IdleWorker {
  readonly worker: DatumWorker
  readonly sinceMs: number
}

/**
 * The warm workers of one pipeline. A worker that threw is not used again. All workers are for one
 * transform: asking for another closes those that are idle.
 */
export class WorkerPool implements AsyncDisposable {
  readonly #workers: DatumWorkers
  readonly #clock: Clock
  readonly #log: RunLog
  readonly #idle: IdleWorker[] = []
  /** Ends the watch over idle workers. */
  readonly #closing = new AbortController()
  #isWatching = false
  /** What all workers are for, and the same as text. */
  #transform: Transform | undefined
  #wanted = ''
  #closed = false

  constructor(ports: Pick<RunPorts, 'workers' | 'clock' | 'log'>) {
    this.#workers = ports.workers
    this.#clock = ports.clock
    this.#log = ports.log
  }

  async lease(transform: Transform, signal: AbortSignal): Promise<WorkerLease> {
    const wanted = transform === this.#transform ? this.#wanted : JSON.stringify(transform)
    if (wanted !== this.#wanted) await this.#closeIdle()
    this.#transform = transform
    this.#wanted = wanted
    // The one that was used last: those that are not needed become idle for good.
    const worker = this.#idle.pop()?.worker ?? (await this.#workers.open(transform, signal))
    let sound = false
    return {
      process: async (work) => {
        const outcome = await worker.process(work)
        sound = true
        return outcome
      },
      [Symbol.asyncDispose]: async () => {
        if (sound && !this.#closed && wanted === this.#wanted) this.#keep(worker)
        else await worker[Symbol.asyncDispose]()
      },
    }
  }

  #keep(worker: DatumWorker): void {
    this.#idle.push({ worker, sinceMs: this.#clock.monotonicMs() })
    if (!this.#isWatching) void this.#watch()
  }

  /** Closes what has been idle too long, for as long as anything is idle. One timer does for all. */
  async #watch(): Promise<void> {
    this.#isWatching = true
    try {
      for (let [oldest] = this.#idle; oldest !== undefined; [oldest] = this.#idle) {
        const leftMs = oldest.sinceMs + idleMs - this.#clock.monotonicMs()
        if (leftMs > 0) await this.#clock.sleep(leftMs, this.#closing.signal)
        else {
          this.#idle.shift()
          await oldest.worker[Symbol.asyncDispose]()
        }
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#log.error('an idle worker did not close', error)
    } finally {
      this.#isWatching = false
    }
  }

  async #closeIdle(): Promise<void> {
    const idle = this.#idle.splice(0)
    await Promise.all(idle.map(({ worker }) => worker[Symbol.asyncDispose]()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    this.#closing.abort()
    await this.#closeIdle()
  }
}
