import type { Transform } from '../executor.ts'
import type { DatumOutcome, DatumWork, DatumWorker, DatumWorkers } from '../datum-worker.ts'
import type { Clock } from '../../base/clock.ts'

/** A worker that has had nothing to do for this long is closed. */
const idleMs = 30_000

/** A worker for the time of one attempt at a datum; disposing hands it back. */
export interface WorkerLease extends AsyncDisposable {
  process(work: DatumWork): Promise<DatumOutcome>
}

interface IdleWorker {
  readonly worker: DatumWorker
  /** Aborted when the worker is taken; else it is closed after a while. */
  readonly taken: AbortController
}

/**
 * The warm workers of one pipeline. A worker that threw is not used again. All workers are for one
 * transform: asking for another closes those that are idle.
 */
export class WorkerPool implements AsyncDisposable {
  readonly #workers: DatumWorkers
  readonly #clock: Clock
  readonly #idle: IdleWorker[] = []
  #transform = ''
  #closed = false

  constructor(ports: { readonly workers: DatumWorkers; readonly clock: Clock }) {
    this.#workers = ports.workers
    this.#clock = ports.clock
  }

  async lease(transform: Transform, signal: AbortSignal): Promise<WorkerLease> {
    const wanted = JSON.stringify(transform)
    if (wanted !== this.#transform) await this.#closeIdle()
    this.#transform = wanted
    const idle = this.#idle.pop()
    idle?.taken.abort()
    const worker = idle?.worker ?? (await this.#workers.open(transform, signal))
    let sound = false
    return {
      process: async (work) => {
        const outcome = await worker.process(work)
        sound = true
        return outcome
      },
      [Symbol.asyncDispose]: async () => {
        if (sound && !this.#closed && wanted === this.#transform) this.#keep(worker)
        else await worker[Symbol.asyncDispose]()
      },
    }
  }

  #keep(worker: DatumWorker): void {
    const idle = { worker, taken: new AbortController() }
    this.#idle.push(idle)
    const close = async (): Promise<void> => {
      const at = this.#idle.indexOf(idle)
      if (at < 0) return
      this.#idle.splice(at, 1)
      await worker[Symbol.asyncDispose]()
    }
    // An abort says that the worker is in use again: nothing is left to do here.
    this.#clock.sleep(idleMs, idle.taken.signal).then(close, () => undefined)
  }

  async #closeIdle(): Promise<void> {
    const idle = this.#idle.splice(0)
    for (const { taken } of idle) taken.abort()
    await Promise.all(idle.map(({ worker }) => worker[Symbol.asyncDispose]()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    await this.#closeIdle()
  }
}
