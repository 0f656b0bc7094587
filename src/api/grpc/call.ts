import type { IncomingHttpHeaders } from 'node:http'
import { copyBytes } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { CancelledError } from '../../base/errors.ts'
import { MessageReader, type ReadOptions } from '../../base/grpc-messages.ts'
import { Code, encodedBytes, messageBytesMax, type EncodedMessage } from '../../base/grpc-wire.ts'
import { SliceQueue } from '../../base/slice-queue.ts'
import type { Turns } from '../../base/turns.ts'
import type { Backlog } from './backlog.ts'
import type { CallEvents, CallWire } from './call-wire.ts'
import { StatusError, type Status } from './errors.ts'
import { HeaderMetadata, type Metadata } from './metadata.ts'
import type { CallContext } from './service.ts'

/** Timers cannot wait longer (24.8 days); no deadline is kept then. */
const timerMsMax = 2 ** 31 - 1
/** Messages that take no time to speak of. */
const lightBytesMax = 16 * 1024
/** Past so much that its handler has not taken, a caller is not read; more is let in once it takes much. */
const queuedBytesMaxAtFirst = 64 * 1024

/** What a call shares with others. */
export interface CallSurroundings {
  /** Address and port of the caller. */
  readonly peer: string
  /** The same for all calls of one connection. */
  readonly connection: object
  readonly turns: Turns
  readonly backlog: Backlog
}

/**
 * One call, from the caller's headers to our status.
 *
 * Ends once, by `finish` or because the caller is gone; what comes after that does nothing.
 */
export class Call implements CallContext, CallEvents {
  readonly metadata: Metadata
  readonly peer: string
  readonly connection: object
  readonly #turns: Turns
  readonly #backlog: Backlog
  readonly #wire: CallWire
  readonly #incoming: SliceQueue
  #receivedBytes = 0
  /** Counted as to come, while the caller is not read. */
  #aheadBytes = 0
  #receivedBound = Infinity
  #onReceived: (() => void) | undefined
  #ended = false
  #abort: AbortController | undefined
  #abortReason: Error | undefined
  #timer: AbortController | undefined
  #drained: PromiseWithResolvers<void> | undefined

  constructor(
    wire: CallWire,
    headers: IncomingHttpHeaders,
    { peer, connection, turns, backlog }: CallSurroundings,
  ) {
    this.#wire = wire
    this.peer = peer
    this.connection = connection
    this.#turns = turns
    this.#backlog = backlog
    this.metadata = new HeaderMetadata(headers)
    const onQueued = (bytes: number): void => this.#countUnread(bytes)
    this.#incoming = new SliceQueue(() => this.#resume(), { queuedBytesMaxAtFirst, onQueued })
    wire.attach(this)
  }

  /** Made when it is asked for: most handlers of small calls never do. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController()
      if (this.#abortReason !== undefined) this.#abort.abort(this.#abortReason)
    }
    return this.#abort.signal
  }

  get ended(): boolean {
    return this.#ended
  }

  get movedBytes(): number {
    return this.#receivedBytes
  }

  get isWaitingForCaller(): boolean {
    return this.#incoming.isAwaited
  }

  /** The caller's messages, as fast as they come and others get their turns. */
  requests(options: ReadOptions = {}): MessageReader {
    const { onMessage } = options
    return new MessageReader(this.#incoming, {
      ...options,
      onMessage: (message) => {
        const turn = this.#turns.nextOfMany()
        if (turn === undefined) return onMessage?.(message)
        return turn.then(() => onMessage?.(message))
      },
    })
  }

  /** The only message of a caller that has no more to say. @throws {StatusError} unless it is. */
  async request(options?: ReadOptions): Promise<Uint8Array> {
    const requests = new MessageReader(this.#incoming, options)
    const first = await requests.next()
    if (first.done === true) throw new StatusError(Code.internal, 'the request message is missing')
    const bytes = await first.value.bytes()
    const second = await requests.next()
    if (second.done !== true) {
      throw new StatusError(Code.internal, 'more than one request message was sent')
    }
    // What is made of it may take long.
    if (bytes.length > lightBytesMax) await this.#turns.free()
    return bytes
  }

  /** Calls back once, when the caller has sent `bytes`. */
  onReceived(bytes: number, callback: () => void): void {
    this.#receivedBound = bytes
    this.#onReceived = callback
  }

  /** Ends the call after `ms`. */
  keepDeadline(ms: number, clock: Clock): void {
    if (ms > timerMsMax) return
    this.#timer = new AbortController()
    clock.sleep(ms, this.#timer.signal).then(
      () => this.abandon({ code: Code.deadlineExceeded, message: 'context deadline exceeded' }),
      () => {}, // the call ended before its deadline
    )
  }

  /**
   * Sends a message; resolves when there is room for the next one. The bytes of a message of 128 KiB
   * or more have then been sent, so that their memory may be used again.
   */
  async send(message: EncodedMessage): Promise<void> {
    if (this.#ended) throw this.#abortReason ?? new CancelledError('the call has ended')
    const sizeBytes = encodedBytes(message)
    if (sizeBytes > messageBytesMax) {
      throw new StatusError(
        Code.resourceExhausted,
        `trying to send message larger than max (${sizeBytes} vs. ${messageBytesMax})`,
      )
    }
    if (this.#wire.send(message, sizeBytes)) return
    this.#drained ??= Promise.withResolvers<void>()
    await this.#drained.promise
  }

  /** Ends the call with its status, after what was sent. */
  finish(status: Status): void {
    if (this.#ended) return
    this.#end()
    this.#wire.finish(status)
  }

  /** Ends the call whatever its handler does, and lets the handler know. */
  abandon(status: Status): void {
    if (this.#ended) return
    this.finish(status)
    this.#interrupt(new CancelledError(status.message))
  }

  received(slice: Uint8Array): boolean {
    this.#receivedBytes += slice.length
    if (this.#receivedBytes >= this.#receivedBound) this.#boundReached()
    if (this.#ended || this.#incoming.push(keepable(slice))) return true
    this.#aheadBytes = this.#wire.aheadBytesMax
    this.#countUnread(this.#aheadBytes)
    return this.#ended
  }

  receivedAll(): void {
    this.#incoming.end()
  }

  drained(): void {
    const drained = this.#drained
    this.#drained = undefined
    if (this.#abortReason === undefined) drained?.resolve()
    else drained?.reject(this.#abortReason)
  }

  gone(): void {
    if (this.#ended) return
    this.#end()
    this.#interrupt(new CancelledError('context canceled'))
  }

  #resume(): void {
    this.#countUnread(-this.#aheadBytes)
    this.#aheadBytes = 0
    this.#wire.resume()
  }

  /** May end the call. */
  #countUnread(bytes: number): void {
    if (!this.#ended) this.#backlog.add(this, bytes)
  }

  #boundReached(): void {
    this.#receivedBound = Infinity
    this.#onReceived?.()
  }

  #end(): void {
    this.#ended = true
    this.#backlog.drop(this)
    this.#timer?.abort()
  }

  #interrupt(reason: Error): void {
    this.#abortReason = reason
    this.#abort?.abort(reason)
    this.#incoming.fail(reason)
    this.drained()
  }
}

/** A slice that keeps no more than four times as much in memory: what came with it stays as long as it does. */
function keepable(slice: Uint8Array): Uint8Array {
  return slice.length * 4 >= slice.buffer.byteLength ? slice : copyBytes(slice)
}
