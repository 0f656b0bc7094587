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
  readonly go: () => void
}

const microsPerMilli = 1000
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
  #wall: Instant = 1_700_000_000_000_000
  /** How many have happened. */
  count = 0

  constructor(seed: number) {
    this.#dice = new Dice(seed)
  }

  get nowMs(): number {
    return this.#nowMs
  }

  wall(): Instant {
    this.#wall = Math.max(this.#wall + 1, 1_700_000_000_000_000 + this.#nowMs * microsPerMilli)
    return this.#wall
  }

  /** A whole number below `count`, for the moods of devices. */
  roll(count: number): number {
    return this.#dice.roll(count)
  }

  /** Waits for a device; never resolves when `life` ends before. */
  async device(life: Life): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiting.push({ life, dueMs: undefined, go: resolve })
    })
  }

  async sleep(life: Life, ms: number, signal?: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const cancel = (): void => {
        this.#waiting = this.#waiting.filter((one) => one !== sleeper)
        reject(new CancelledError('the wait was cancelled'))
      }
      const sleeper = {
        life,
        dueMs: this.#nowMs + Math.ceil(ms),
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

  /** Those that may be next; when all sleep, time passes until one wakes. */
  #ready(): readonly Waiting[] {
    const isReady = ({ dueMs }: Waiting): boolean => dueMs === undefined || dueMs <= this.#nowMs
    const ready = this.#waiting.filter(isReady)
    if (ready.length > 0 || this.#waiting.length === 0) return ready
    this.#nowMs = Math.min(...this.#waiting.map(({ dueMs }) => dueMs ?? 0))
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
export function simulatedClock(events: SimulatedEvents, life: Life): Clock {
  return {
    now: () => events.wall(),
    monotonicMs: () => events.nowMs,
    sleep: async (ms, signal) => await events.sleep(life, ms, signal),
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
