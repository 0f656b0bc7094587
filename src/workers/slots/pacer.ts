import type { Clock } from '../../base/clock.ts'
import { CancelledError } from '../../base/errors.ts'

/** So long may file calls keep the event loop to themselves. */
const stretchMs = 8

/** Lets others run between the synchronous file calls of one long piece of work. */
export class Pacer {
  readonly #clock: Clock
  readonly #signal: AbortSignal
  #startMs: number

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock
    this.#signal = signal
    this.#startMs = clock.monotonicMs()
  }

  /** True when it is time to call `rest`. */
  get isDue(): boolean {
    return this.#clock.monotonicMs() - this.#startMs >= stretchMs
  }

  /** @throws {CancelledError} when the work was cancelled. */
  async rest(ms = 0): Promise<void> {
    await this.#clock.sleep(ms)
    this.#startMs = this.#clock.monotonicMs()
    if (this.#signal.aborted) throw new CancelledError('the datum was cancelled')
  }
}
