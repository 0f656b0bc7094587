import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { Code, type EncodedMessage } from '../../base/grpc-wire.ts'
import type { CallEvents, CallWire } from './call-wire.ts'
import type { Echo } from './echo.ts'
import { statusFields, type Status } from './errors.ts'
import { framed } from './framed.ts'

const responseHeaders: OutgoingHttpHeaders = {
  [constants.HTTP2_HEADER_STATUS]: 200,
  [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
}
// gRPC has no use for the date that Node would format for each response.
const trailersFollow = { waitForTrailers: true, sendDate: false }
const trailersOnly = { endStream: true, sendDate: false }

/** The connection of a stream, which may send so much ahead on each. */
export interface StreamWindow {
  readonly windowBytes: number
}

/** gRPC as it is meant: over a stream of HTTP/2. */
export class Http2Wire implements CallWire {
  readonly #stream: ServerHttp2Stream
  readonly #window: StreamWindow
  readonly #echo: Echo | undefined
  #headersSent = false
  #trailers: OutgoingHttpHeaders = {}

  /** `echo`: of a caller that may end a stream of requests right before it cancels it. */
  constructor(stream: ServerHttp2Stream, window: StreamWindow, echo?: Echo) {
    this.#stream = stream
    this.#window = window
    this.#echo = echo
  }

  /** The window opens again for as much as Node buffers itself. */
  get aheadBytesMax(): number {
    return this.#window.windowBytes + this.#stream.readableHighWaterMark
  }

  attach(events: CallEvents): void {
    const stream = this.#stream
    stream.on('error', () => {}) // always followed by 'close', where it is dealt with
    stream.on('aborted', () => events.gone())
    stream.on('close', () => events.gone())
    stream.on('drain', () => events.drained())
    // A caller that cancels may end its half right before the reset (Node's HTTP/2 does): what then
    // looks complete is cut short. The reset comes with the answer to a PING, if not before.
    stream.on('end', () => {
      if (this.#echo === undefined) this.#receivedAll(events)
      else this.#echo.ask(() => this.#receivedAll(events))
    })
    stream.on('data', (slice: Uint8Array) => {
      if (!events.received(slice)) stream.pause()
    })
  }

  /** Unless the call turns out to be cancelled, by the next turn of the event loop. */
  #receivedAll(events: CallEvents): void {
    // eslint-disable-next-line no-restricted-globals -- a turn of the loop, not a time
    setImmediate(() => {
      if (!this.#stream.aborted && !this.#stream.destroyed) events.receivedAll()
    })
  }

  resume(): void {
    this.#stream.resume()
  }

  send(message: EncodedMessage, sizeBytes: number): boolean {
    this.#sendHeaders()
    this.#stream.cork()
    for (const piece of framed(message, sizeBytes)) this.#stream.write(piece)
    this.#stream.uncork()
    // A destroyed stream needs no drain, but its 'close' must get a turn to be told.
    return !this.#stream.destroyed && !this.#stream.writableNeedDrain
  }

  finish(status: Status): void {
    this.#trailers = statusFields(status)
    if (status.code === Code.ok) this.#sendHeaders()
    if (this.#headersSent) {
      this.#stream.end()
    } else {
      this.#stream.respond({ ...responseHeaders, ...this.#trailers }, trailersOnly)
      this.#hangUp()
    }
    this.#stream.resume()
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
