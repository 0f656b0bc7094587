import type { Clock } from '../../base/clock.ts'

/**
 * Settles as `running` does; but rejects when `running` is still pending after every microtask has
 * run, since then it waits for something other than an answer that is there already.
 *
 * Our statements answer at once, so an operation that awaits nothing else settles within one turn
 * of the event loop, and a queue of operations can never hang behind one that waits for a network.
 */
export async function settleThisTurn<Result>(running: Promise<Result>): Promise<Result> {
  return await new Promise<Result>((resolve, reject) => {
    // The end of a turn, not a time: no clock could say it.
    // oxlint-disable-next-line no-restricted-globals
    const turnEnd = setImmediate(() => {
      reject(new Error('invariant broken: a database operation awaits nothing but its transaction'))
    })
    running.then(
      (result) => {
        clearImmediate(turnEnd)
        resolve(result)
      },
      (error: unknown) => {
        clearImmediate(turnEnd)
        // Passed on as it was thrown.
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors
        reject(error)
      },
    )
  })
}

/** After this long without a pause, other work of the event loop gets its turn. */
const turnMs = 10

/** Keeps work that never waits from shutting out everything else in the process. */
export class Turns {
  readonly #clock: Clock
  #startMs: number | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Undefined while this turn may go on; else a promise that resolves in the next one. */
  next(): Promise<void> | undefined {
    const nowMs = this.#clock.monotonicMs()
    if (this.#startMs === undefined) {
      this.#startMs = nowMs
      // oxlint-disable-next-line no-restricted-globals
      setImmediate(() => {
        this.#startMs = undefined
      })
    }
    if (nowMs - this.#startMs < turnMs) return undefined
    return new Promise((resolve) => {
      // oxlint-disable-next-line no-restricted-globals
      setImmediate(resolve)
    })
  }
}
