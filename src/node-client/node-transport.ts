import type { ClientHttp2Session, OutgoingHttpHeaders } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { Clock } from '../base/clock.ts'
import type { IncomingMessage } from '../base/grpc-messages.ts'
import {
  Code,
  connectionWindowBytes,
  formatTimeout,
  frameBytesMax,
  ownUserAgent,
  streamWindowBytes,
  type EncodedMessage,
} from '../base/grpc-wire.ts'
import { addressText, type Address } from '../client/address.ts'
import { RpcError } from '../client/rpc-error.ts'
import type { CallOptions, Transport } from '../client/transport.ts'
import { NodeCall } from './node-call.ts'
import { connectMsMax, noAnswer, type ServerInWords, unreachable } from './unreachable.ts'

const timerMsMax = 2 ** 31 - 1

export interface NodeTransportOptions extends ServerInWords {
  /** Opens the socket, where not every address may be reached. */
  readonly connect?: (address: Address) => Duplex
}

/**
 * Calls a server over one HTTP/2 connection, which is opened by the first call and again by the
 * first call after it was lost.
 *
 * @throws {UnavailableError} from calls, when the server cannot be reached within 10 s.
 */
export class NodeTransport implements Transport {
  readonly #address: Address
  readonly #clock: Clock
  readonly #options: NodeTransportOptions
  #session: Promise<ClientHttp2Session> | undefined

  constructor(address: Address, clock: Clock, options: NodeTransportOptions = {}) {
    this.#address = address
    this.#clock = clock
    this.#options = options
  }

  async unary(path: string, request: EncodedMessage, options?: CallOptions): Promise<Uint8Array> {
    const call = await this.#open(path, options)
    await call.send(request)
    call.sent()
    return call.response()
  }

  async *serverStream(
    path: string,
    request: EncodedMessage,
    options?: CallOptions,
  ): AsyncGenerator<IncomingMessage> {
    const call = await this.#open(path, options)
    await call.send(request)
    call.sent()
    yield* call.responses()
  }

  async clientStream(
    path: string,
    requests: AsyncIterable<EncodedMessage>,
    options?: CallOptions,
  ): Promise<Uint8Array> {
    const call = await this.#open(path, options)
    // Not awaited: the server may answer while the source is still thinking.
    void pump(call, requests)
    return call.response()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const opening = this.#session
    this.#session = undefined
    const session = await opening?.catch(() => undefined)
    if (session === undefined || session.destroyed) return
    const closed = new Promise<void>((resolve) => session.once('close', resolve))
    session.destroy()
    await closed
  }

  async #open(path: string, options: CallOptions = {}): Promise<NodeCall> {
    const { signal, timeoutMs } = options
    if (signal?.aborted === true) throw cancelled()
    this.#session ??= this.#connect()
    const session = await this.#session
    const headers: OutgoingHttpHeaders = {
      ...options.metadata,
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': ownUserAgent,
    }
    if (timeoutMs !== undefined) headers['grpc-timeout'] = formatTimeout(timeoutMs)
    const reset = new AbortController()
    const stream = session.request(headers, { endStream: false, signal: reset.signal })
    const call = new NodeCall(stream, reset)
    if (timeoutMs !== undefined && timeoutMs < timerMsMax)
      this.#keepDeadline(call, stream, timeoutMs)
    if (signal !== undefined) {
      const cancel = (): void => call.cancel(cancelled())
      signal.addEventListener('abort', cancel, { once: true })
      stream.once('close', () => signal.removeEventListener('abort', cancel))
    }
    return call
  }

  #keepDeadline(call: NodeCall, stream: NodeJS.EventEmitter, timeoutMs: number): void {
    const timer = new AbortController()
    stream.once('close', () => timer.abort())
    this.#clock.sleep(timeoutMs, timer.signal).then(
      () => call.cancel(new RpcError(Code.deadlineExceeded, 'context deadline exceeded')),
      () => {}, // the call ended before its deadline
    )
  }

  async #connect(): Promise<ClientHttp2Session> {
    // Loaded with the first call: programs that make none start faster.
    const { connect } = await import('node:http2')
    const { connect: openSocket } = this.#options
    const session = connect(`http://${addressText(this.#address)}`, {
      ...(openSocket !== undefined && { createConnection: () => openSocket(this.#address) }),
      settings: {
        initialWindowSize: streamWindowBytes,
        maxFrameSize: frameBytesMax,
        enablePush: false,
      },
    })
    const forget = (): void => {
      this.#session = undefined
    }
    session.once('close', forget).once('goaway', forget)
    try {
      await this.#connected(session)
    } catch (error) {
      session.destroy()
      throw unreachable(this.#address, error, this.#options)
    }
    session.on('error', () => {}) // its calls fail with what happened
    session.setLocalWindowSize(connectionWindowBytes)
    return session
  }

  /** Waits until the server has shown that it speaks HTTP/2. */
  async #connected(session: ClientHttp2Session): Promise<void> {
    const timer = new AbortController()
    try {
      await new Promise<void>((resolve, reject) => {
        session.once('remoteSettings', () => resolve())
        session.once('error', reject)
        session.once('close', () => reject(new Error('the connection was closed at once')))
        this.#clock.sleep(connectMsMax, timer.signal).then(
          () => reject(noAnswer()),
          () => {}, // connected before
        )
      })
    } finally {
      timer.abort()
    }
  }
}

async function pump(call: NodeCall, requests: AsyncIterable<EncodedMessage>): Promise<void> {
  try {
    for await (const request of requests) {
      if (call.isSettled) return
      await call.send(request)
    }
    call.sent()
  } catch (error) {
    call.cancel(error instanceof Error ? error : new Error(String(error)))
  }
}

function cancelled(): RpcError {
  return new RpcError(Code.cancelled, 'context canceled')
}
