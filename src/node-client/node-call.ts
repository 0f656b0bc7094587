import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import { MessageReader, type IncomingMessage } from '../base/grpc-messages.ts'
import {
  Code,
  encodedBytes,
  messageBytesMax,
  prefixBytes,
  writePrefix,
  type EncodedMessage,
} from '../base/grpc-wire.ts'
import { SliceQueue } from '../base/slice-queue.ts'
import { RpcError } from '../client/rpc-error.ts'
import { failureOf } from '../client/status.ts'

/** Larger messages are written behind their prefix as they are; smaller ones are copied to it. */
const copiedBytesMax = 16 * 1024
const resetCancel = 8
const resetRefused = 7
const resetCalm = 11

/** The client's end of one call. */
export class NodeCall {
  readonly #stream: ClientHttp2Stream
  readonly #reset: AbortController
  readonly #incoming: SliceQueue
  readonly #settled = Promise.withResolvers<void>()
  #isSettled = false
  #isAnswered = false
  #failure: Error | undefined
  #httpStatus = 0
  #drained: PromiseWithResolvers<void> | undefined

  /** `reset` is what resets `stream`: Node's own `close` first ends it, as if all had been sent. */
  constructor(stream: ClientHttp2Stream, reset: AbortController) {
    this.#stream = stream
    this.#reset = reset
    this.#incoming = new SliceQueue(() => stream.resume())
    const { session } = stream
    const isOver = (): boolean => session === undefined || session.closed || session.destroyed
    stream.on('response', (headers) => {
      this.#httpStatus = Number(headers[':status'])
      if (headers['grpc-status'] !== undefined) this.#end(headers)
    })
    stream.on('trailers', (headers) => this.#end(headers))
    stream.on('data', (slice: Uint8Array) => {
      if (!this.#incoming.push(slice)) stream.pause()
    })
    stream.on('drain', () => this.#settleDrained())
    stream.on('end', () => this.#incoming.end())
    stream.on('error', (error) => this.#lost(error, isOver()))
    stream.on('close', () => {
      this.#lost(undefined, isOver())
      this.#incoming.end()
    })
  }

  /** True when the server has answered, or never will. */
  get isSettled(): boolean {
    return this.#isSettled
  }

  /** Sends a message; resolves when there is room for the next one, or no need for it. */
  async send(message: EncodedMessage): Promise<void> {
    if (this.#isSettled) return
    // Not writable any more, but 'close' is still to tell why.
    if (!this.#stream.writable) return this.#settled.promise
    const size = encodedBytes(message)
    if (size > messageBytesMax) {
      throw new RpcError(
        Code.resourceExhausted,
        `trying to send message larger than max (${size} vs. ${messageBytesMax})`,
      )
    }
    const parts = message instanceof Uint8Array ? [message] : message
    const head = Buffer.allocUnsafe(size > copiedBytesMax ? prefixBytes : prefixBytes + size)
    writePrefix(head, 0, size)
    if (size <= copiedBytesMax) {
      let offset = prefixBytes
      for (const part of parts) {
        head.set(part, offset)
        offset += part.length
      }
      this.#stream.write(head)
    } else {
      this.#stream.cork()
      this.#stream.write(head)
      for (const part of parts) this.#stream.write(part)
      this.#stream.uncork()
    }
    if (!this.#stream.writableNeedDrain) return
    this.#drained ??= Promise.withResolvers<void>()
    await this.#drained.promise
  }

  /** No more messages will be sent. */
  sent(): void {
    if (!this.#stream.destroyed) this.#stream.end()
  }

  /** The server's messages; throws at the end unless the status is OK. */
  async *responses(): AsyncGenerator<IncomingMessage> {
    try {
      yield* new MessageReader(this.#incoming)
      await this.#settled.promise
      if (this.#failure !== undefined) throw this.#failure
    } finally {
      this.cancel(new RpcError(Code.cancelled, 'the reader gave up'))
    }
  }

  /** The server's only message. */
  async response(): Promise<Uint8Array> {
    let bytes: Uint8Array | undefined
    for await (const message of this.responses()) bytes = await message.bytes()
    if (bytes === undefined) throw new RpcError(Code.internal, 'the server sent no response')
    return bytes
  }

  /** Gives up, with `error` for whoever waits. Does nothing when the server has answered. */
  cancel(error: Error): void {
    if (!this.#isSettled) {
      this.#settle(error)
      this.#incoming.fail(error)
    }
    if (!this.#stream.writableEnded || !this.#isAnswered) this.#reset.abort()
    this.#stream.resume()
  }

  #end(headers: IncomingHttpHeaders): void {
    this.#isAnswered = true
    this.#settle(failureOf(headers))
  }

  #lost(cause: Error | undefined, isConnectionOver: boolean): void {
    if (this.#isSettled) return
    // Of a connection that is lost, Node says that each of its streams was cancelled.
    const reset = isConnectionOver ? 0 : (this.#stream.rstCode ?? 0)
    const error = lostError(this.#httpStatus, reset, cause)
    this.#settle(error)
    this.#incoming.fail(error)
  }

  #settle(failure: Error | undefined): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#failure = failure
    this.#settled.resolve()
    this.#settleDrained()
  }

  #settleDrained(): void {
    this.#drained?.resolve()
    this.#drained = undefined
  }
}

function lostError(httpStatus: number, reset: number, cause: Error | undefined): RpcError {
  if (httpStatus !== 0 && httpStatus !== 200) {
    return new RpcError(
      Code.unavailable,
      `the server answered with HTTP status ${httpStatus}; it is no pachd, or something stands before it`,
    )
  }
  if (reset === resetCancel) return new RpcError(Code.cancelled, 'the server cancelled the call')
  if (reset === resetRefused) return new RpcError(Code.unavailable, 'the server refused the call')
  if (reset === resetCalm) {
    return new RpcError(Code.resourceExhausted, 'the server is overloaded by this client')
  }
  const reason = cause === undefined ? '' : `: ${cause.message}`
  return new RpcError(Code.unavailable, `the connection to the server was lost${reason}`, { cause })
}
