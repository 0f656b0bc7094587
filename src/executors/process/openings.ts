import type { Clock } from '../../base/clock.ts'
import { CancelledError } from '../../base/errors.ts'

/** What takes longer waits for something else than a processor, and others may begin beside it. */
const placeMsMax = 10_000

/**
 * Lets a few sandboxes be made at a time: each takes a processor for a while, and of a hundred at once none would
 * be ready in the time that one may take.
 */
export class Openings {
  readonly #clock: Clock
  #free: number
  /** Who waits longest comes next. */
  readonly #waiting = new Set<() => void>()

  constructor(clock: Clock, countMax: number) {
    this.#clock = clock
    this.#free = countMax
  }

  /**
   * Waits for a place; dispose of it when the sandbox is there.
   *
   * @throws {CancelledError} when `signal` aborts first.
   */
  async take(signal: AbortSignal): Promise<Disposable> {
    if (this.#free > 0) this.#free -= 1
    else await this.#turn(signal)
    const timer = new AbortController()
    let isOver = false
    const leave = (): void => {
      if (isOver) return
      isOver = true
      timer.abort()
      this.#next()
    }
    void this.#clock.sleep(placeMsMax, timer.signal).then(leave, () => {})
    return { [Symbol.dispose]: leave }
  }

  #next(): void {
    const [next] = this.#waiting
    if (next === undefined) this.#free += 1
    else {
      this.#waiting.delete(next)
      next()
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const cancel = (): void => {
      this.#waiting.delete(resolve)
      reject(new CancelledError('opening the slot was cancelled'))
    }
    if (signal.aborted) cancel()
    else this.#waiting.add(resolve)
    signal.addEventListener('abort', cancel, { once: true })
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', cancel)
    }
  }
}
