import type { Clock, Instant } from '../base/clock.ts'
import { CancelledError } from '../base/errors.ts'

interface Sleeper {
  readonly untilMs: number
  readonly wake: () => void
}

const microsPerMilli = 1000

/** Time that stands still until a test moves it. */
export class HeldClock implements Clock {
  readonly #sleepers = new Set<Sleeper>()
  #monotonicMs = 0
  #wall: Instant

  constructor(wall: Instant = 1_700_000_000_000_000) {
    this.#wall = wall
  }

  /** How many wait for time to pass. */
  get sleeperCount(): number {
    return this.#sleepers.size
  }

  now(): Instant {
    this.#wall += 1
    return this.#wall
  }

  monotonicMs(): number {
    return this.#monotonicMs
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const sleeper = { untilMs: this.#monotonicMs + ms, wake: resolve }
    const cancel = (): void => reject(new CancelledError('the wait was cancelled'))
    if (signal?.aborted === true) cancel()
    signal?.addEventListener('abort', cancel, { once: true })
    this.#sleepers.add(sleeper)
    try {
      await promise
    } finally {
      this.#sleepers.delete(sleeper)
      signal?.removeEventListener('abort', cancel)
    }
  }

  /** Lets time pass, and wakes who has slept long enough. */
  advance(ms: number): void {
    this.#monotonicMs += ms
    this.#wall += ms * microsPerMilli
    for (const sleeper of this.#sleepers) {
      if (sleeper.untilMs <= this.#monotonicMs) sleeper.wake()
    }
  }

  /** Somebody sets the clock on the wall: no time passes. */
  set(wall: Instant): void {
    this.#wall = wall
  }
}
