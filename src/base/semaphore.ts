import { CancelledError } from './errors.ts'

/** Lets at most so many have a place at once; who waits longest comes next. */
export class Semaphore {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(countMax: number) {
    this.#free = countMax
  }

  /**
   * Waits for a place. Dispose of it, once or more often, to let the next one have it.
   *
   * @throws {CancelledError} when `signal` aborts first.
   */
  async take(signal?: AbortSignal): Promise<Disposable> {
    if (signal?.aborted === true) throw cancelled()
    if (this.#free > 0) this.#free -= 1
    else await this.#turn(signal)
    let isOver = false
    return {
      [Symbol.dispose]: () => {
        if (!isOver) this.#next()
        isOver = true
      },
    }
  }

  #next(): void {
    const [next] = this.#waiting
    if (next === undefined) this.#free += 1
    else {
      this.#waiting.delete(next)
      next()
    }
  }

  async #turn(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const cancel = (): void => {
      this.#waiting.delete(resolve)
      reject(cancelled())
    }
    this.#waiting.add(resolve)
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      await promise
    } finally {
      signal?.removeEventListener('abort', cancel)
    }
  }
}

function cancelled(): CancelledError {
  return new CancelledError('what waited for its turn was cancelled')
}
