import type { Status } from './errors.ts'

/** A call as a budget sees it. */
export interface BudgetHolder {
  /** What the caller came by: the calls of one share what one may have. */
  readonly connection: object
  /** Aborts when the call ends before its handler does. */
  readonly signal: AbortSignal
  /** All that the caller has sent, or has taken, so far. */
  readonly movedBytes: number
  /** The caller is to send, or to take, and has not done so. */
  readonly isWaitingForCaller: boolean
  abandon(status: Status): void
}

/** What is held, or changes hands. */
export interface BudgetShare {
  readonly bytes: number
  readonly places: number
}

/** A call that waits for memory. */
export interface Waiter {
  readonly holder: BudgetHolder
  readonly bytes: number
  /** 1 for a call that begins to be large. */
  readonly places: 0 | 1
  /** The least is next. */
  readonly turn: number
  readonly admitted: PromiseWithResolvers<void>
}

interface ConnectionShare {
  bytes: number
  places: number
  /** The turn of the last that waited. */
  lastTurn: number
  /** For bytes alone, and for a place as well: each in order, and none of them behind the others. */
  readonly lines: readonly [Waiter[], Waiter[]]
}

const nothing: BudgetShare = { bytes: 0, places: 0 }

function lengthOf({ lines }: ConnectionShare): number {
  return lines[0].length + lines[1].length
}

/**
 * Who waits for memory, and what the connections of all have of it.
 *
 * Turns are counted in bytes, as in fair queueing: those of one connection follow each other by what
 * they ask for, and a connection that comes new begins where the line is: as far as each of those in it
 * has come.
 */
export class BudgetLine {
  readonly #shares = new Map<object, ConnectionShare>()
  /** Of them, those with somebody in line. */
  readonly #waiting = new Set<ConnectionShare>()
  #turn = 0
  #length = 0

  /** How many wait. */
  get length(): number {
    return this.#length
  }

  has(waiter: Waiter): boolean {
    const share = this.#shares.get(waiter.holder.connection)
    return share?.lines[waiter.places].includes(waiter) ?? false
  }

  /** Whether calls of the connection wait. */
  hasSome(connection: object): boolean {
    const share = this.#shares.get(connection)
    return share !== undefined && this.#waiting.has(share)
  }

  /** Somebody waits for a place. */
  get wantsPlace(): boolean {
    for (const { lines } of this.#waiting) if (lines[1].length > 0) return true
    return false
  }

  /** What the calls of a connection hold together. */
  held(connection: object): BudgetShare {
    return this.#shares.get(connection) ?? nothing
  }

  /** A call of the connection has taken something, or given it back when that is negative. */
  hold(connection: object, { bytes, places }: BudgetShare): void {
    const share = this.#shareOf(connection)
    share.bytes += bytes
    share.places += places
    this.#forget(connection, share)
  }

  add(holder: BudgetHolder, { bytes, places }: Pick<Waiter, 'bytes' | 'places'>): Waiter {
    const share = this.#shareOf(holder.connection)
    share.lastTurn = Math.max(this.#turn, share.lastTurn) + bytes
    const [turn, admitted] = [share.lastTurn, Promise.withResolvers<void>()]
    const waiter = { holder, bytes, places, turn, admitted }
    share.lines[places].push(waiter)
    this.#waiting.add(share)
    this.#length += 1
    return waiter
  }

  /** Whose turn it is, among those first in the lines of connections that are allowed to. */
  next(isAllowed: (waiter: Waiter) => boolean): Waiter | undefined {
    let next: Waiter | undefined
    for (const { lines } of this.#waiting) {
      for (const [first] of lines) {
        if (first === undefined || (next !== undefined && next.turn <= first.turn)) continue
        if (isAllowed(first)) next = first
      }
    }
    return next
  }

  /** It is its turn. */
  serve(waiter: Waiter): void {
    this.#turn += waiter.bytes / this.#waiting.size
    this.remove(waiter)
  }

  /** Does nothing when it waits no more. */
  remove(waiter: Waiter): void {
    const { connection } = waiter.holder
    const share = this.#shares.get(connection)
    const line = share?.lines[waiter.places] ?? []
    const at = line.indexOf(waiter)
    if (share === undefined || at === -1) return
    line.splice(at, 1)
    this.#length -= 1
    if (lengthOf(share) === 0) this.#waiting.delete(share)
    this.#forget(connection, share)
  }

  /** The last of the connection with most in line; the newest itself, if no other has more than its own. */
  lastOfMost(newest: Waiter): Waiter {
    let most = this.#shareOf(newest.holder.connection)
    for (const share of this.#waiting) if (lengthOf(share) > lengthOf(most)) most = share
    const [withPlace, wantsPlace] = most.lines
    return wantsPlace.at(-1) ?? withPlace.at(-1) ?? newest
  }

  #shareOf(connection: object): ConnectionShare {
    let share = this.#shares.get(connection)
    if (share === undefined) {
      share = { bytes: 0, places: 0, lastTurn: 0, lines: [[], []] }
      this.#shares.set(connection, share)
    }
    return share
  }

  #forget(connection: object, share: ConnectionShare): void {
    const isHolding = share.bytes > 0 || share.places > 0
    if (!isHolding && lengthOf(share) === 0) this.#shares.delete(connection)
  }
}
