import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  prefixBytes,
  trailersFlag,
  webContentType,
  writePrefix,
  type EncodedMessage,
} from '../../base/grpc-wire.ts'
import type { CallEvents, CallWire } from './call-wire.ts'
import { statusFields, type Status } from './errors.ts'
import { framed } from './framed.ts'

/** gRPC-Web: the same messages over HTTP/1.1, with the status in a last frame of the body. */
export class WebWire implements CallWire {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request
    this.#response = response
    response.setHeader('content-type', webContentType)
    response.sendDate = false
  }

  /** What Node has read from the connection. */
  get aheadBytesMax(): number {
    return this.#request.readableHighWaterMark + this.#request.socket.readableHighWaterMark
  }

  attach(events: CallEvents): void {
    const request = this.#request
    const response = this.#response
    request.on('error', () => {}) // the response closes then
    response.on('error', () => {})
    response.on('close', () => events.gone())
    response.on('drain', () => events.drained())
    request.on('end', () => events.receivedAll())
    request.on('data', (slice: Uint8Array) => {
      if (!events.received(slice)) request.pause()
    })
  }

  resume(): void {
    this.#request.resume()
  }

  send(message: EncodedMessage, sizeBytes: number): boolean {
    // Not corked: a response that is does not notice that it should be waited for.
    for (const piece of framed(message, sizeBytes)) this.#response.write(piece)
    // A destroyed response needs no drain, but its 'close' must get a turn to be told.
    return !this.#response.destroyed && !this.#response.writableNeedDrain
  }

  finish(status: Status): void {
    const fields = Object.entries(statusFields(status))
    const text = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    const frame = Buffer.allocUnsafe(prefixBytes + text.length)
    writePrefix(frame, 0, text.length)
    frame[0] = trailersFlag
    frame.write(text, prefixBytes, 'latin1')
    // A caller that is still sending is not read to its end.
    if (!this.#request.complete && !this.#response.headersSent) {
      this.#response.setHeader('connection', 'close')
    }
    this.#response.end(frame)
    this.#request.resume()
  }
}
