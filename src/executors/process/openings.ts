import type { Clock } from '../../base/clock.ts'
import { Semaphore } from '../../base/semaphore.ts'

/** What takes longer waits for something else than a processor, and others may begin beside it. */
const placeMsMax = 10_000

/**
 * Lets a few sandboxes be made at a time: each takes a processor for a while, and of a hundred at once none would
 * be ready in the time that one may take.
 */
export class Openings {
  readonly #clock: Clock
  readonly #semaphore: Semaphore

  constructor(clock: Clock, countMax: number) {
    this.#clock = clock
    this.#semaphore = new Semaphore(countMax)
  }

  /**
   * Waits for a place; dispose of it when the sandbox is there.
   *
   * @throws {CancelledError} when `signal` aborts first.
   */
  async take(signal: AbortSignal): Promise<Disposable> {
    const place = await this.#semaphore.take(signal)
    const timer = new AbortController()
    const leave = (): void => {
      timer.abort()
      place[Symbol.dispose]()
    }
    void this.#clock.sleep(placeMsMax, timer.signal).then(leave, () => {})
    return { [Symbol.dispose]: leave }
  }
}
