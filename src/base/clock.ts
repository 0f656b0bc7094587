import { CancelledError } from './errors.ts'

/** Whole microseconds since 1970-01-01T00:00:00Z; exact in a number until the year 2255. */
export type Instant = number

/** Time as a value that is passed in, so that a test can hold it still. */
export interface Clock {
  /** Wall-clock time. Strictly greater at each call in one process, so that it orders events. */
  now(): Instant
  /** Milliseconds from an arbitrary start; never goes back. For measuring durations. */
  monotonicMs(): number
  /** Resolves after `ms`; rejects with `CancelledError` when `signal` aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

const microsPerMilli = 1000
/** A timer that is set for longer goes off at once. */
const timerMsMax = 2 ** 31 - 1

/** The machine's own clock. */
export class SystemClock implements Clock {
  #last: Instant = 0

  now(): Instant {
    this.#last = Math.max(Date.now() * microsPerMilli, this.#last + 1)
    return this.#last
  }

  monotonicMs(): number {
    return performance.now()
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    let restMs = ms
    for (; restMs > timerMsMax; restMs -= timerMsMax) await this.#sleepShort(timerMsMax, signal)
    await this.#sleepShort(restMs, signal)
  }

  async #sleepShort(ms: number, signal?: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const cancel = (): void => {
        clearTimeout(timer)
        reject(new CancelledError('the wait was cancelled'))
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', cancel)
        resolve()
      }, ms)
      if (signal?.aborted === true) cancel()
      else signal?.addEventListener('abort', cancel, { once: true })
    })
  }
}

/** Resolves when `done` does, or after `ms`. */
export async function waitAtMost(clock: Clock, ms: number, done: Promise<void>): Promise<void> {
  const timer = new AbortController()
  const late = clock.sleep(ms, timer.signal).catch(() => {})
  try {
    await Promise.race([done, late])
  } finally {
    timer.abort()
  }
}
