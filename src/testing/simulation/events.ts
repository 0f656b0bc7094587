import type { Clock, Instant } from '../../base/clock.ts'
import { CancelledError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { Dice } from '../busy-world.ts'

/** A process from its start to its end, be that a crash: nothing goes on in it afterwards. */
export interface Life {
  isOver: boolean
}

interface Waiting {
  readonly life: Life
  /** In simulated milliseconds; undefined for what waits for a device. */
  readonly dueMs: number | undefined
  /** Time does not pass for its sake alone. */
  readonly isIdle: boolean
  readonly go: () => void
}

const microsPerMilli = 1000
const epoch: Instant = 1_700_000_000_000_000
/** What happens next takes less than this. */
const stepMsMax = 4

/**
 * Everything that waits in a simulated system, for a device or for time to pass. One event happens
 * after the other, and a seed decides which: the same seed gives the same order.
 */
export class SimulatedEvents {
  readonly #dice: Dice
  #waiting: Waiting[] = []
  #nowMs = 0
  #wall: Instant = epoch
  /** So far somebody has set the clock on the wall ahead. */
  #aheadMs = 0
  /** Until then time passes even when nobody but the idle waits for it. */
  #passingUntilMs = 0
  /** How many have happened. */
  count = 0

  constructor(seed: number) {
    this.#dice = new Dice(seed)
  }

  get nowMs(): number {
    return this.#nowMs
  }

  wall(): Instant {
    const wall = epoch + (this.#nowMs + this.#aheadMs) * microsPerMilli
    this.#wall = Math.max(this.#wall + 1, wall)
    return this.#wall
  }

  /** Lets time pass, event by event, also while nobody but the idle waits for it. */
  letPass(ms: number): void {
    this.#passingUntilMs = Math.max(this.#passingUntilMs, this.#nowMs + ms)
  }

  /** Time passes at once, as while no process runs. */
  skip(ms: number): void {
    this.#nowMs += ms
  }

  /** Somebody sets the clock on the wall: no time passes. */
  setWallAhead(ms: number): void {
    this.#aheadMs += ms
  }

  /** A whole number below `count`, for the moods of devices. */
  roll(count: number): number {
    return this.#dice.roll(count)
  }

  /** Waits for a device; never resolves when `life` ends before. */
  async device(life: Life): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiting.push({ life, dueMs: undefined, isIdle: false, go: resolve })
    })
  }

  /** `isIdle`: of one who looks whether there is something to do, which need not be waited for. */
  async sleep(
    life: Life,
    ms: number,
    { signal, isIdle = false }: { readonly signal?: AbortSignal; readonly isIdle?: boolean } = {},
  ): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const cancel = (): void => {
        this.#waiting = this.#waiting.filter((one) => one !== sleeper)
        reject(new CancelledError('the wait was cancelled'))
      }
      const sleeper = {
        life,
        dueMs: this.#nowMs + Math.ceil(ms),
        isIdle,
        go: () => {
          signal?.removeEventListener('abort', cancel)
          resolve()
        },
      }
      this.#waiting.push(sleeper)
      if (signal?.aborted === true) cancel()
      else signal?.addEventListener('abort', cancel, { once: true })
    })
  }

  /** Has the next event happen, with all that follows at once; false when nothing waits. */
  async next(): Promise<boolean> {
    this.#waiting = this.#waiting.filter(({ life }) => !life.isOver)
    const ready = this.#ready()
    const chosen = ready[this.#dice.roll(Math.max(1, ready.length))]
    if (chosen === undefined) return false
    this.#waiting.splice(this.#waiting.indexOf(chosen), 1)
    this.#nowMs += this.#dice.roll(stepMsMax)
    this.count += 1
    chosen.go()
    await settled()
    return true
  }

  /** Those that may be next; when all sleep, time passes until one wakes that is worth it. */
  #ready(): readonly Waiting[] {
    const isReady = ({ dueMs }: Waiting): boolean => dueMs === undefined || dueMs <= this.#nowMs
    const ready = this.#waiting.filter(isReady)
    if (ready.length > 0) return ready
    const isWorthIt = ({ dueMs = 0, isIdle }: Waiting): boolean =>
      !isIdle || dueMs <= this.#passingUntilMs
    const next = this.#waiting.some(isWorthIt)
      ? Math.min(...this.#waiting.map(({ dueMs = 0 }) => dueMs))
      : this.#passingUntilMs
    this.#nowMs = Math.max(this.#nowMs, next)
    return this.#waiting.filter(isReady)
  }
}

/** Resolves when all that is under way waits for an event. */
export async function settled(): Promise<void> {
  await new Promise<void>((resolve) => {
    // A turn of the event loop, not a time: nothing in a simulated system waits for the real world.
    // oxlint-disable-next-line no-restricted-globals
    setImmediate(resolve)
  })
}

/** The time of a simulated system, as a process sees it. */
export function simulatedClock(
  events: SimulatedEvents,
  life: Life,
  { isIdle }: { readonly isIdle: boolean } = { isIdle: false },
): Clock {
  return {
    now: () => events.wall(),
    monotonicMs: () => events.nowMs,
    sleep: async (ms, signal) =>
      await events.sleep(life, ms, { isIdle, ...(signal !== undefined && { signal }) }),
  }
}

/** Chance that follows from a seed. */
export class SeededRandom implements Random {
  readonly #dice: Dice

  constructor(seed: number) {
    this.#dice = new Dice(seed)
  }

  fraction(): number {
    return this.#dice.roll(2 ** 30) / 2 ** 30
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.#dice.roll(65_536) >> 8)
  }
}
