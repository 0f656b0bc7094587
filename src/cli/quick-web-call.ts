import { connect, type Socket } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { InvalidArgumentError } from '../base/errors.ts'
import type { IncomingMessage } from '../base/grpc-messages.ts'
import {
  Code,
  encodedBytes,
  formatTimeout,
  isWebContentType,
  messageBytesMax,
  prefixBytes,
  webContentType,
  type EncodedMessage,
} from '../base/grpc-wire.ts'
import { SliceQueue, type SliceSource } from '../base/slice-queue.ts'
import { addressText, type Address } from '../client/address.ts'
import { RpcError } from '../client/rpc-error.ts'
import type { CallOptions } from '../client/transport.ts'
import { framedParts, readWebMessage, readWebMessages } from '../client/web-messages.ts'
import { connectMsMax, noAnswer, unreachable } from '../node-client/unreachable.ts'

const timerMsMax = 2 ** 31 - 1
const headEnd = '\r\n\r\n'
const headBytesMax = 64 * 1024
/** When to find out whether a server that says nothing is still there. */
const keepAliveMs = 60_000

/** Where a call goes, and what keeps its time. */
export interface QuickServer {
  readonly address: Address
  readonly clock: Clock
}

/**
 * The answer to a call over a connection of its own, by gRPC-Web in HTTP/1.0, which ends an answer
 * by hanging up.
 *
 * Undefined when the server does not know gRPC-Web: then it has not done anything either.
 *
 * @throws {UnavailableError} when the server cannot be reached.
 * @throws {RpcError} when the call failed.
 */
export async function quickUnary(
  server: QuickServer,
  path: string,
  request: EncodedMessage,
  options: CallOptions = {},
): Promise<Uint8Array | undefined> {
  using exchange = await Exchange.open(server, path, request, options)
  return exchange.answer && (await readWebMessage(exchange.answer))
}

/** As `quickUnary`, for a stream of answers; leaving the loop over them cancels the call. */
export async function quickStream(
  server: QuickServer,
  path: string,
  request: EncodedMessage,
  options: CallOptions = {},
): Promise<AsyncGenerator<IncomingMessage> | undefined> {
  const exchange = await Exchange.open(server, path, request, options)
  return exchange.answer && messages(exchange, exchange.answer)
}

async function* messages(exchange: Exchange, answer: SliceSource): AsyncGenerator<IncomingMessage> {
  using _ = exchange
  yield* readWebMessages(answer)
}

/** One request and its answer. */
class Exchange implements Disposable {
  readonly #server: QuickServer
  readonly #socket: Socket
  readonly #options: CallOptions
  readonly #ended = new AbortController()
  readonly #queue: SliceQueue
  /** What follows the head; undefined when that does not say that it is gRPC-Web. */
  answer: SliceSource | undefined

  private constructor(server: QuickServer, options: CallOptions) {
    this.#server = server
    this.#options = options
    this.#socket = connect({
      ...server.address,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveMs,
    })
    this.#socket.on('error', () => {}) // whoever waits hears of it
    this.#queue = new SliceQueue(() => this.#socket.resume())
  }

  static async open(
    server: QuickServer,
    path: string,
    request: EncodedMessage,
    options: CallOptions,
  ): Promise<Exchange> {
    if (options.signal?.aborted === true) throw cancelled()
    const sizeBytes = encodedBytes(request)
    if (sizeBytes > messageBytesMax) {
      throw new RpcError(
        Code.resourceExhausted,
        `trying to send message larger than max (${sizeBytes} vs. ${messageBytesMax})`,
      )
    }
    const head = requestHead(server.address, path, sizeBytes + prefixBytes, options)
    const exchange = new Exchange(server, options)
    try {
      await exchange.#connect()
      exchange.#socket.cork()
      exchange.#socket.write(head)
      for (const part of framedParts(request)) exchange.#socket.write(part)
      exchange.#socket.uncork()
      await exchange.#readHead()
    } catch (error) {
      exchange[Symbol.dispose]()
      throw error
    }
    if (exchange.answer === undefined) exchange[Symbol.dispose]()
    return exchange
  }

  async #connect(): Promise<void> {
    const { clock, address } = this.#server
    const { signal, timeoutMs = Infinity } = this.#options
    const cancel = (): void => this.#fail(cancelled())
    signal?.addEventListener('abort', cancel, { once: true, signal: this.#ended.signal })
    if (timeoutMs <= timerMsMax) {
      clock.sleep(timeoutMs, this.#ended.signal).then(
        () => this.#fail(timeUp()),
        () => {}, // the call ended before its deadline
      )
    }
    const connecting = new AbortController()
    clock.sleep(connectMsMax, connecting.signal).then(
      () => this.#socket.destroy(noAnswer()),
      () => {}, // connected before
    )
    try {
      await new Promise<void>((resolve, reject) => {
        this.#socket.once('connect', resolve).once('error', reject)
      })
    } catch (error) {
      throw error instanceof RpcError ? error : unreachable(address, error)
    } finally {
      connecting.abort()
    }
  }

  #fail(error: Error): void {
    this.#queue.fail(error)
    this.#socket.destroy(error)
  }

  async #readHead(): Promise<void> {
    const socket = this.#socket
    socket.on('data', (slice) => {
      if (!this.#queue.push(slice)) socket.pause()
    })
    socket.on('end', () => this.#queue.end())
    socket.on('error', (cause) => this.#queue.fail(lost(cause)))
    let heard: Buffer = Buffer.alloc(0)
    for (;;) {
      const slice = await this.#queue.next()
      if (slice === undefined) break
      heard = Buffer.concat([heard, slice])
      // What does not begin so is no HTTP/1 and may never hang up.
      if (heard.length >= 5 && !heard.subarray(0, 5).equals(Buffer.from('HTTP/'))) return
      const headBytes = heard.indexOf(headEnd)
      if (headBytes >= 0) {
        const head = heard.toString('latin1', 0, headBytes + 2)
        const type = /\r\ncontent-type: *([^\r]*)/i.exec(head)?.[1] ?? ''
        const rest = heard.subarray(headBytes + headEnd.length)
        if (isWebContentType(type)) this.answer = followedBy(rest, this.#queue)
        return
      }
      if (heard.length > headBytesMax) return
    }
    if (heard.length === 0) throw new RpcError(Code.unavailable, hungUp)
  }

  [Symbol.dispose](): void {
    this.#ended.abort()
    this.#socket.destroy()
  }
}

const hungUp = 'the server hung up without an answer'

function followedBy(first: Uint8Array, rest: SliceSource): SliceSource {
  let isFirst = true
  return {
    next: () => {
      if (!isFirst || first.length === 0) return rest.next()
      isFirst = false
      return first
    },
  }
}

function requestHead(
  address: Address,
  path: string,
  sizeBytes: number,
  { timeoutMs, metadata }: CallOptions,
): string {
  const fields: Record<string, string> = {
    ...metadata,
    host: addressText(address),
    'content-type': webContentType,
    'content-length': String(sizeBytes),
  }
  if (timeoutMs !== undefined) fields['grpc-timeout'] = formatTimeout(timeoutMs)
  let head = `POST ${path} HTTP/1.0\r\n`
  for (const [name, value] of Object.entries(fields)) {
    if (!/^[\u0020-\u007e]*$/.test(value)) {
      throw new InvalidArgumentError(`${name} holds characters that a header cannot`)
    }
    head += `${name}: ${value}\r\n`
  }
  return `${head}\r\n`
}

function lost(cause: Error): RpcError {
  if (cause instanceof RpcError) return cause
  return new RpcError(Code.unavailable, 'the connection to the server was lost', { cause })
}

function cancelled(): RpcError {
  return new RpcError(Code.cancelled, 'context canceled')
}

function timeUp(): RpcError {
  return new RpcError(Code.deadlineExceeded, 'context deadline exceeded')
}
