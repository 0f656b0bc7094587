import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import { constants } from 'node:http2'
import type { Clock } from '../../base/clock.ts'
import { CancelledError } from '../../base/errors.ts'
import { MessageReader, type Decompress } from '../../base/grpc-messages.ts'
import {
  Code,
  encodedBytes,
  encodeStatusMessage,
  errorKindTrailer,
  messageBytesMax,
  prefixBytes,
  writePrefix,
  type EncodedMessage,
} from '../../base/grpc-wire.ts'
import { SliceQueue } from '../../base/slice-queue.ts'
import { StatusError, type Status } from './errors.ts'
import { HeaderMetadata, type Metadata } from './metadata.ts'
import type { CallContext } from './service.ts'

const responseHeaders: OutgoingHttpHeaders = {
  [constants.HTTP2_HEADER_STATUS]: 200,
  [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
}
// gRPC has no use for the date that Node would format for each response.
const trailersFollow = { waitForTrailers: true, sendDate: false }
const trailersOnly = { endStream: true, sendDate: false }
/** Larger messages are written behind their prefix as they are; smaller ones are copied to it. */
const copiedBytesMax = 16 * 1024
/** Timers cannot wait longer (24.8 days); no deadline is kept then. */
const timerMsMax = 2 ** 31 - 1

/**
 * One call: its stream, from the caller's headers to our trailers.
 *
 * Ends once, by `finish` or because the caller is gone; what comes after that does nothing.
 */
export class Call implements CallContext {
  readonly metadata: Metadata
  readonly peer: string
  readonly #stream: ServerHttp2Stream
  readonly #incoming: SliceQueue
  #receivedBytes = 0
  #receivedBound = Infinity
  #onReceived: (() => void) | undefined
  #ended = false
  #headersSent = false
  #trailers: OutgoingHttpHeaders = {}
  #abort: AbortController | undefined
  #abortReason: Error | undefined
  #timer: AbortController | undefined
  #drained: PromiseWithResolvers<void> | undefined

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, peer: string) {
    this.#stream = stream
    this.peer = peer
    this.metadata = new HeaderMetadata(headers)
    this.#incoming = new SliceQueue(() => stream.resume())
    stream.on('error', () => {}) // always followed by 'close', where it is dealt with
    stream.on('aborted', () => this.#gone())
    stream.on('close', () => this.#gone())
    stream.on('drain', () => this.#settleDrained())
    stream.on('end', () => this.#incoming.end())
    stream.on('data', (slice: Uint8Array) => {
      this.#receivedBytes += slice.length
      if (this.#receivedBytes >= this.#receivedBound) this.#boundReached()
      if (!this.#ended && !this.#incoming.push(slice)) stream.pause()
    })
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

  /** Bytes received that the handler has not taken yet. */
  get queuedBytes(): number {
    return this.#incoming.queuedBytes + this.#stream.readableLength
  }

  /** The caller's messages. */
  requests(decompress?: Decompress): MessageReader {
    return new MessageReader(this.#incoming, decompress)
  }

  /** The only message of a caller that has no more to say. @throws {StatusError} unless it is. */
  async request(decompress?: Decompress): Promise<Uint8Array> {
    const requests = this.requests(decompress)
    const first = await requests.next()
    if (first.done === true) throw new StatusError(Code.internal, 'the request message is missing')
    const bytes = await first.value.bytes()
    const second = await requests.next()
    if (second.done !== true) {
      throw new StatusError(Code.internal, 'more than one request message was sent')
    }
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

  /** Sends a message; resolves when there is room for the next one. */
  async send(message: EncodedMessage): Promise<void> {
    if (this.#ended) throw this.#abortReason ?? new CancelledError('the call has ended')
    const size = encodedBytes(message)
    if (size > messageBytesMax) {
      throw new StatusError(
        Code.resourceExhausted,
        `trying to send message larger than max (${size} vs. ${messageBytesMax})`,
      )
    }
    this.#sendHeaders()
    this.#write(message, size)
    if (!this.#stream.writableNeedDrain) return
    this.#drained ??= Promise.withResolvers<void>()
    await this.#drained.promise
  }

  /** Ends the call with its trailers, after what was sent. */
  finish(status: Status): void {
    if (this.#ended) return
    this.#end()
    this.#trailers = trailersOf(status)
    if (this.#headersSent) {
      this.#stream.end()
    } else if (status.code === Code.ok) {
      this.#sendHeaders()
      this.#stream.end()
    } else {
      const headers = { ...responseHeaders, ...this.#trailers }
      this.#stream.respond(headers, trailersOnly)
      this.#hangUp()
    }
    this.#stream.resume()
  }

  /** Ends the call whatever its handler does, and lets the handler know. */
  abandon(status: Status): void {
    if (this.#ended) return
    this.finish(status)
    this.#interrupt(new CancelledError(status.message))
  }

  /** The caller cancelled, or the connection is lost. */
  #gone(): void {
    if (this.#ended) return
    this.#end()
    this.#interrupt(new CancelledError('context canceled'))
  }

  #boundReached(): void {
    this.#receivedBound = Infinity
    this.#onReceived?.()
  }

  #end(): void {
    this.#ended = true
    this.#timer?.abort()
  }

  #interrupt(reason: Error): void {
    this.#abortReason = reason
    this.#abort?.abort(reason)
    this.#incoming.fail(reason)
    this.#settleDrained()
  }

  #settleDrained(): void {
    const drained = this.#drained
    this.#drained = undefined
    if (this.#abortReason === undefined) drained?.resolve()
    else drained?.reject(this.#abortReason)
  }

  #sendHeaders(): void {
    if (this.#headersSent) return
    this.#headersSent = true
    this.#stream.respond(responseHeaders, trailersFollow)
    this.#stream.on('wantTrailers', () => {
      this.#stream.sendTrailers(this.#trailers)
      this.#hangUp()
    })
  }

  #write(message: EncodedMessage, size: number): void {
    const head = Buffer.allocUnsafe(size > copiedBytesMax ? prefixBytes : prefixBytes + size)
    writePrefix(head, 0, size)
    const parts = message instanceof Uint8Array ? [message] : message
    if (size <= copiedBytesMax) {
      let offset = prefixBytes
      for (const part of parts) {
        head.set(part, offset)
        offset += part.length
      }
      this.#stream.write(head)
      return
    }
    this.#stream.cork()
    this.#stream.write(head)
    for (const part of parts) this.#stream.write(part)
    this.#stream.uncork()
  }

  /** Tells a caller that is still sending to stop, once our trailers are on their way. */
  #hangUp(): void {
    if (this.#stream.readableEnded) return
    // The trailers leave in a later turn of the event loop; a reset before that would drop them.
    // eslint-disable-next-line no-restricted-globals -- a turn of the loop, not a time
    setImmediate(() => {
      if (!this.#stream.destroyed && !this.#stream.readableEnded) {
        this.#stream.close(constants.NGHTTP2_NO_ERROR)
      }
    })
  }
}

function trailersOf(status: Status): OutgoingHttpHeaders {
  const trailers: OutgoingHttpHeaders = { 'grpc-status': status.code }
  if (status.message !== '') trailers['grpc-message'] = encodeStatusMessage(status.message)
  if (status.kind !== undefined) trailers[errorKindTrailer] = status.kind
  return trailers
}
