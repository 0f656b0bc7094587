import type { Clock } from '../../base/clock.ts'
import { CancelledError } from '../../base/errors.ts'

/** So long a collection may keep the event loop to itself … */
const stretchMs = 8
/** … in so many steps: what time took while it waited for others does not count … */
const stretchStepsMin = 256
/** … before it rests, so that others get most of the time when there is work to do. */
const restMs = 4

/** Lets everyone else run between the steps of a collection, and ends it when it is cancelled. */
export class Pace {
  readonly #clock: Clock
  readonly #signal: AbortSignal
  readonly #atRest: () => void
  #startMs: number
  #stepCount = 0

  /** `atRest` is called now and then. */
  constructor(clock: Clock, signal: AbortSignal, atRest: () => void) {
    this.#clock = clock
    this.#signal = signal
    this.#atRest = atRest
    this.#startMs = clock.monotonicMs()
  }

  /** To be called at each step, of some 10 µs, or before so many. @throws {CancelledError} */
  async keep(stepCount = 1): Promise<void> {
    this.check()
    this.#stepCount += stepCount
    if (this.#stepCount < stretchStepsMin) return
    if (this.#clock.monotonicMs() - this.#startMs < stretchMs) return
    this.#atRest()
    await this.rest(restMs)
  }

  /** @throws {CancelledError} */
  async rest(ms: number): Promise<void> {
    await this.#clock.sleep(ms, this.#signal)
    this.#startMs = this.#clock.monotonicMs()
    this.#stepCount = 0
  }

  /** @throws {CancelledError} */
  check(): void {
    if (this.#signal.aborted) throw new CancelledError('the collection was cancelled')
  }
}
