import { Code } from '../../base/grpc-wire.ts'
import type { Status } from './errors.ts'

/** A call that has sent something that nobody has read. */
export interface BacklogCall {
  readonly connection: object
  abandon(status: Status): void
}

interface ConnectionBacklog {
  bytes: number
  readonly byCall: Map<BacklogCall, number>
}

/** Bytes of requests that have come, or may come before their callers hear that they are to wait. */
export const backlogBytesMax: number = 256 * 1024 * 1024

/**
 * Bounds what all calls together have sent and nobody has read yet. Who keeps to the windows that it
 * is given does not come near the bound. Past it, calls are given up: of the connection with most of
 * it, the one with most of that.
 */
export class Backlog {
  readonly #bytesMax: number
  readonly #connections = new Map<object, ConnectionBacklog>()
  #bytes = 0

  constructor(bytesMax: number = backlogBytesMax) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  /** More of the call is unread; less, when `bytes` are negative. May end the call, or others. */
  add(call: BacklogCall, bytes: number): void {
    this.#count(call, bytes)
    while (this.#bytes > this.#bytesMax) this.#giveUpOne()
  }

  /** The call has ended. */
  drop(call: BacklogCall): void {
    const bytes = this.#connections.get(call.connection)?.byCall.get(call)
    if (bytes !== undefined) this.#count(call, -bytes)
  }

  #count(call: BacklogCall, bytes: number): void {
    const { connection } = call
    const counted = this.#connections.get(connection) ?? { bytes: 0, byCall: new Map() }
    const left = (counted.byCall.get(call) ?? 0) + bytes
    this.#bytes += bytes
    counted.bytes += bytes
    if (left === 0) counted.byCall.delete(call)
    else counted.byCall.set(call, left)
    if (counted.byCall.size === 0) this.#connections.delete(connection)
    else this.#connections.set(connection, counted)
  }

  #giveUpOne(): void {
    let largest: ConnectionBacklog = { bytes: 0, byCall: new Map() }
    for (const one of this.#connections.values()) if (one.bytes > largest.bytes) largest = one
    const callCount = largest.byCall.size
    const [call] = [...largest.byCall].reduce((most, next) => (next[1] > most[1] ? next : most))
    call.abandon(this.#tooMuch(callCount))
    this.drop(call)
  }

  #tooMuch(callCount: number): Status {
    return {
      code: Code.resourceExhausted,
      message: `the call was given up: more than ${this.#bytesMax / 1024 / 1024} MiB of requests were sent that could not be read yet, most of them on this connection, by ${callCount} calls; send fewer at once`,
    }
  }
}
