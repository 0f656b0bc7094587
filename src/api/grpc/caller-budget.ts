import type { Clock } from '../../base/clock.ts'
import { CancelledError } from '../../base/errors.ts'
import { Code } from '../../base/grpc-wire.ts'
import { type Status, StatusError } from './errors.ts'

/** A call as a budget sees it. */
export interface BudgetHolder {
  /** Aborts when the call ends before its handler does. */
  readonly signal: AbortSignal
  /** All that the caller has sent, or has taken, so far. */
  readonly movedBytes: number
  /** The caller is to send, or to take, and has not done so. */
  readonly isWaitingForCaller: boolean
  abandon(status: Status): void
}

interface Waiter {
  readonly holder: BudgetHolder
  readonly bytes: number
  readonly admitted: PromiseWithResolvers<void>
}

/**
 * How long a caller may be slow while others wait for what it holds. Nobody is hurried when there
 * is enough for all: somebody may well type the file that is being put.
 */
const stallMsMax = 30_000
/** Who waits to send has sent up to its window, a MiB, before it was paused. */
const waiterCountMax = 1000
/** A caller that moves less in that time is slow: 2 KiB a second. */
const progressBytesMin = 64 * 1024

/** What callers do with the memory, in words for them. */
const verbs = {
  upload: { plural: 'uploads', done: 'sent', again: 'send it again when it can be sent faster' },
  download: {
    plural: 'downloads',
    done: 'took',
    again: 'ask again, for the rest, when it can be taken faster',
  },
} as const

/**
 * Memory that callers share for what they send, or for what they are sent. Those for which nothing
 * is left wait their turn, and are not read meanwhile; callers that hold some and stall are then
 * given up, so that a few silent ones cannot keep all others out.
 */
export class CallerBudget {
  readonly #bytesMax: number
  readonly #clock: Clock
  readonly #full: string
  readonly #stalled: Status
  readonly #held = new Map<BudgetHolder, number>()
  #heldBytes = 0
  #waiters: Waiter[] = []
  #patrol: AbortController | undefined

  constructor(bytesMax: number, clock: Clock, what: keyof typeof verbs) {
    this.#bytesMax = bytesMax
    this.#clock = clock
    const { plural, done, again } = verbs[what]
    this.#full = `${waiterCountMax} ${plural} are waiting for memory already, which is all that may; try again later`
    this.#stalled = {
      code: Code.resourceExhausted,
      message: `the ${what} was given up: the caller ${done} less than ${progressBytesMin / 1024} KiB in ${stallMsMax / 1000} seconds while others waited for the memory that it holds; ${again}`,
    }
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  /**
   * Takes `bytes` for `holder`, in addition to what it has; a promise only when it has to wait. A
   * share larger than all there is counts as all.
   *
   * @throws {StatusError} when too many wait.
   */
  take(holder: BudgetHolder, bytes: number): Promise<void> | undefined {
    const share = Math.min(bytes, this.#bytesMax)
    if (this.#waiters.length === 0 && this.#fits(share)) {
      this.#add(holder, share)
      return undefined
    }
    if (this.#waiters.length >= waiterCountMax) {
      throw new StatusError(Code.resourceExhausted, this.#full)
    }
    return this.#wait({ holder, bytes: share, admitted: Promise.withResolvers() })
  }

  /** Gives back all that `holder` has. */
  release(holder: BudgetHolder): void {
    const bytes = this.#held.get(holder)
    if (bytes === undefined) return
    this.#held.delete(holder)
    this.#heldBytes -= bytes
    this.#admit()
  }

  async #wait(waiter: Waiter): Promise<void> {
    const { holder, admitted } = waiter
    const leave = (): void => {
      this.#waiters = this.#waiters.filter((other) => other !== waiter)
      admitted.reject(new CancelledError('the call has ended'))
      this.#admit()
    }
    this.#waiters.push(waiter)
    if (holder.signal.aborted) leave()
    else holder.signal.addEventListener('abort', leave, { once: true })
    this.#startPatrol()
    try {
      await admitted.promise
    } finally {
      holder.signal.removeEventListener('abort', leave)
    }
  }

  #fits(bytes: number): boolean {
    return this.#heldBytes + bytes <= this.#bytesMax
  }

  #add(holder: BudgetHolder, bytes: number): void {
    this.#held.set(holder, (this.#held.get(holder) ?? 0) + bytes)
    this.#heldBytes += bytes
  }

  /** Lets in those who can be, in the order in which they came. */
  #admit(): void {
    for (;;) {
      const first = this.#waiters[0]
      if (first === undefined) {
        this.#patrol?.abort()
        this.#patrol = undefined
        return
      }
      if (!this.#fits(first.bytes)) return
      this.#waiters.shift()
      this.#add(first.holder, first.bytes)
      first.admitted.resolve()
    }
  }

  #startPatrol(): void {
    if (this.#patrol !== undefined || this.#waiters.length === 0) return
    this.#patrol = new AbortController()
    this.#keepMoving(this.#patrol.signal).catch(() => {}) // nobody waits any more
  }

  /** While somebody waits, gives up calls that stall. */
  async #keepMoving(signal: AbortSignal): Promise<void> {
    for (;;) {
      const before = new Map(
        [...this.#held.keys()].map((holder) => [holder, holder.movedBytes] as const),
      )
      await this.#clock.sleep(stallMsMax, signal)
      for (const [holder, bytes] of before) {
        const isSlow = holder.movedBytes - bytes < progressBytesMin
        if (this.#held.has(holder) && isSlow && holder.isWaitingForCaller)
          holder.abandon(this.#stalled)
      }
    }
  }
}
