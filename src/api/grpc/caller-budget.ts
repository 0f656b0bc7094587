import type { Clock } from '../../base/clock.ts'
import { CancelledError } from '../../base/errors.ts'
import { Code } from '../../base/grpc-wire.ts'
import { type Status, StatusError } from './errors.ts'
import { type BudgetHolder, BudgetLine, type BudgetShare, type Waiter } from './budget-line.ts'

export type { BudgetHolder } from './budget-line.ts'

export interface BudgetBounds {
  readonly bytesMax: number
  /** What the calls of one connection may have together, so that others find some; all, if not said. */
  readonly connectionBytesMax?: number
  /** The same of places, of which each large call has one from its first share to its end. */
  readonly places?: number
  readonly connectionPlaces?: number
}

/**
 * How long a caller may be slow while others wait for what it holds. Nobody is hurried when there
 * is enough for all: somebody may well type the file that is being put.
 */
const stallMsMax = 10_000
/** A caller that moves less in that time is slow: some 1.6 KiB a second. */
const progressBytesMin = 16 * 1024
/** Who waits to send has sent up to its window before it was paused. */
const waiterCountMax = 1000

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
 *
 * Turns go round between connections, by bytes: however many calls one has in line, those of others
 * come between them.
 */
export class CallerBudget {
  readonly #bounds: Required<BudgetBounds>
  readonly #clock: Clock
  readonly #full: string
  readonly #stalled: Status
  readonly #line = new BudgetLine()
  readonly #held = new Map<BudgetHolder, BudgetShare>()
  #heldBytes = 0
  #heldPlaces = 0
  #patrol: AbortController | undefined

  constructor(bounds: BudgetBounds, clock: Clock, what: keyof typeof verbs) {
    const { bytesMax, connectionBytesMax = bytesMax, places = 0 } = bounds
    const { connectionPlaces = places } = bounds
    this.#bounds = { bytesMax, connectionBytesMax, places, connectionPlaces }
    this.#clock = clock
    const { plural, done, again } = verbs[what]
    this.#full = `${waiterCountMax} ${plural} are waiting for memory already, which is all that may, and no connection has more of them than this one; try again later, with fewer at once`
    this.#stalled = {
      code: Code.resourceExhausted,
      message: `the ${what} was given up: the caller ${done} less than ${progressBytesMin / 1024} KiB in ${stallMsMax / 1000} seconds while others waited for the memory that it holds; ${again}`,
    }
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  /**
   * Takes `bytes` for `holder`, and a place if it is said, in addition to what it has; a promise only
   * when it has to wait. A share larger than all there is counts as all.
   *
   * @throws {StatusError} when too many wait, of which no connection has more than this one. Whoever
   * waits is told so, too, when it is of the connection that has most, and somebody else comes.
   */
  take(holder: BudgetHolder, bytes: number, places: 0 | 1 = 0): Promise<void> | undefined {
    const share = { bytes: Math.min(bytes, this.#bounds.bytesMax), places }
    if (this.#line.length === 0 && this.#isAllowed(holder, share) && this.#fits(share)) {
      this.#change(holder, share)
      return undefined
    }
    const waiter = this.#line.add(holder, share)
    this.#admit()
    if (!this.#line.has(waiter)) return undefined
    if (this.#line.length > waiterCountMax) this.#turnAway(waiter)
    return this.#wait(waiter)
  }

  /** Gives back the bytes that `holder` has, and keeps its place. */
  releaseBytes(holder: BudgetHolder): void {
    const bytes = this.#held.get(holder)?.bytes ?? 0
    if (bytes > 0) this.#give(holder, { bytes, places: 0 })
  }

  /** Gives back all that `holder` has. */
  release(holder: BudgetHolder): void {
    const held = this.#held.get(holder)
    if (held !== undefined) this.#give(holder, held)
  }

  /** Somebody has to leave the line because of the last who came. */
  #turnAway(newest: Waiter): void {
    const last = this.#line.lastOfMost(newest)
    const tooMany = new StatusError(Code.resourceExhausted, this.#full)
    this.#line.remove(last)
    if (last === newest) throw tooMany
    last.admitted.reject(tooMany)
  }

  async #wait(waiter: Waiter): Promise<void> {
    const { holder, admitted } = waiter
    const leave = (): void => {
      this.#line.remove(waiter)
      admitted.reject(new CancelledError('the call has ended'))
      this.#admit()
    }
    if (holder.signal.aborted) leave()
    else holder.signal.addEventListener('abort', leave, { once: true })
    this.#startPatrol()
    try {
      await admitted.promise
    } finally {
      holder.signal.removeEventListener('abort', leave)
    }
  }

  #fits({ bytes }: BudgetShare): boolean {
    return this.#heldBytes + bytes <= this.#bounds.bytesMax
  }

  /**
   * Whether there is a place, and its connection may have so much more. One that has nothing may have
   * whatever it needs.
   */
  #isAllowed({ connection }: BudgetHolder, { bytes, places }: BudgetShare): boolean {
    const { connectionBytesMax, connectionPlaces } = this.#bounds
    if (places > 0 && !this.#hasPlace()) return false
    const held = this.#line.held(connection)
    if (places > 0 && held.places + places > connectionPlaces) return false
    return held.bytes === 0 || held.bytes + bytes <= connectionBytesMax
  }

  #hasPlace(): boolean {
    return this.#heldPlaces < this.#bounds.places
  }

  #next(): Waiter | undefined {
    return this.#line.next((waiter) => this.#isAllowed(waiter.holder, waiter))
  }

  /** Gives back, and lets in who waits for it. */
  #give(holder: BudgetHolder, share: BudgetShare): void {
    this.#change(holder, { bytes: -share.bytes, places: -share.places })
    this.#admit()
  }

  #change(holder: BudgetHolder, change: BudgetShare): void {
    const held = this.#held.get(holder)
    const bytes = (held?.bytes ?? 0) + change.bytes
    const places = (held?.places ?? 0) + change.places
    if (bytes > 0 || places > 0) this.#held.set(holder, { bytes, places })
    else this.#held.delete(holder)
    this.#heldBytes += change.bytes
    this.#heldPlaces += change.places
    this.#line.hold(holder.connection, change)
  }

  /** Lets in those who can be, in the order of their turns. */
  #admit(): void {
    for (;;) {
      const next = this.#next()
      if (next === undefined || !this.#fits(next)) break
      this.#line.serve(next)
      this.#change(next.holder, next)
      next.admitted.resolve()
    }
    if (this.#line.length > 0) return
    this.#patrol?.abort()
    this.#patrol = undefined
  }

  #startPatrol(): void {
    if (this.#patrol !== undefined || this.#line.length === 0) return
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
        if (isSlow && holder.isWaitingForCaller && this.#isAwaited(holder))
          holder.abandon(this.#stalled)
      }
    }
  }

  /** Others wait for what it holds: for bytes, for a place, or for what its connection may have. */
  #isAwaited(holder: BudgetHolder): boolean {
    const held = this.#held.get(holder)
    if (held === undefined) return false
    if (held.bytes > 0 && this.#next() !== undefined) return true
    if (held.places > 0 && !this.#hasPlace() && this.#line.wantsPlace) return true
    return this.#line.hasSome(holder.connection)
  }
}
