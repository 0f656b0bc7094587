import type { Clock } from './clock.ts'

/** After this long without a pause, other work of the event loop gets its turn. */
const turnMs = 10
const stepsPerLook = 16

/** Calls back in the next turn of the event loop, after what has come from outside: Node's `setImmediate`. */
export type InNextTurn = (callback: () => void) => unknown

/** Keeps work that never waits from shutting out everything else in the process. */
export class Turns {
  readonly #clock: Clock
  readonly #inNextTurn: InNextTurn
  #startMs: number | undefined
  #stepCount = 0

  constructor(clock: Clock, inNextTurn: InNextTurn) {
    this.#clock = clock
    this.#inNextTurn = inNextTurn
  }

  /** Undefined while this turn may go on; else a promise that resolves in the next one. */
  next(): Promise<void> | undefined {
    return this.#isOver() ? this.#nextTurn() : undefined
  }

  /** As `next`, before one or more steps of microseconds, of which only some look at the clock. */
  nextOfMany(count = 1): Promise<void> | undefined {
    this.#stepCount += count
    if (this.#stepCount < stepsPerLook) return undefined
    this.#stepCount = 0
    return this.next()
  }

  /**
   * Undefined while this turn may go on; else a promise that resolves in one that may. Of several who wait to do
   * something long, one goes on in a turn.
   */
  free(): Promise<void> | undefined {
    return this.#isOver() ? this.#freeTurn() : undefined
  }

  async #freeTurn(): Promise<void> {
    do await this.#nextTurn()
    while (this.#isOver())
  }

  #isOver(): boolean {
    const nowMs = this.#clock.monotonicMs()
    if (this.#startMs === undefined) {
      this.#startMs = nowMs
      this.#inNextTurn(() => {
        this.#startMs = undefined
      })
    }
    return nowMs - this.#startMs >= turnMs
  }

  async #nextTurn(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#inNextTurn(resolve)
    })
  }
}
