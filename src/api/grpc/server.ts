import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { Socket } from 'node:net'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import type { Clock } from '../../base/clock.ts'
import {
  MalformedMessageError,
  OversizedMessageError,
  type Decompress,
} from '../../base/grpc-messages.ts'
import {
  Code,
  connectionWindowBytes,
  frameBytesMax,
  parseTimeoutMs,
  streamWindowBytes,
} from '../../base/grpc-wire.ts'
import { newHexId, type Random } from '../../base/random.ts'
import { Call } from './call.ts'
import { statusOf, StatusError } from './errors.ts'
import type { Route } from './service.ts'

/** Where the server writes down what callers are not told. */
export interface FailureLog {
  /** `reference` is what the caller was told, so that the two can be put together. */
  failure(reference: string, path: string, error: unknown): void
}

export interface GrpcServerPorts {
  readonly clock: Clock
  readonly random: Random
  readonly log: FailureLog
}

/** Bytes of sent but unread data, headers and frames that a connection may tie up; in MiB. */
const sessionMemoryMibMax = 1024
/**
 * What a stream may send ahead of its handler, at first. Many uploads at once stay at this, so that
 * a hundred of them hold 100 MiB and not 800. A connection never goes back to it: callers of 2017
 * miscount when a window shrinks.
 */
const firstWindowBytes = 1024 * 1024
/** Up to so many uploads at once, the connections of large ones get the full window. */
const fullWindowUploadsMax = 8

/** Callers that cancel often are no attack: 1.5's clients end streams by resetting them. */
const streamResets = { streamResetBurst: 100_000, streamResetRate: 10_000 }

interface Peer {
  readonly address: string
  hasFullWindow: boolean
}

/** Serves gRPC on the connections that it is given. */
export class GrpcServer implements AsyncDisposable {
  readonly #routes: ReadonlyMap<string, Route>
  readonly #ports: GrpcServerPorts
  readonly #http2: Http2Server
  /** Open connections. */
  readonly #sessions = new Map<ServerHttp2Session, Peer>()
  readonly #calls = new Set<Call>()
  readonly #uploads = new Set<Call>()
  #closing = false
  #idle: PromiseWithResolvers<void> | undefined

  constructor(routes: readonly Route[], ports: GrpcServerPorts) {
    this.#routes = new Map(routes.map((route) => [route.path, route]))
    this.#ports = ports
    this.#http2 = createServer({
      maxSessionMemory: sessionMemoryMibMax,
      ...streamResets,
      settings: {
        initialWindowSize: firstWindowBytes,
        maxFrameSize: frameBytesMax,
        maxConcurrentStreams: 2 ** 32 - 1,
        enablePush: false,
      },
    })
    this.#http2.on('session', (session) => this.#onSession(session))
    this.#http2.on('sessionError', () => {}) // the connection is gone; its calls see that
    this.#http2.on('stream', (stream, headers) => {
      void this.#onStream(stream, headers)
    })
  }

  /** Calls that have not come to their end. */
  get callCount(): number {
    return this.#calls.size
  }

  /** Takes over a connection whose first bytes are still to be read. */
  accept(socket: Socket): void {
    this.#http2.emit('connection', socket)
  }

  /**
   * Lets running calls come to their end for at most `graceMs`, ends the others with UNAVAILABLE,
   * and closes all connections.
   */
  async close(graceMs: number): Promise<void> {
    this.#closing = true
    for (const session of this.#sessions.keys()) session.close()
    if (this.#calls.size > 0 && graceMs > 0) {
      this.#idle = Promise.withResolvers<void>()
      const timer = new AbortController()
      const grace = this.#ports.clock.sleep(graceMs, timer.signal).catch(() => {})
      await Promise.race([this.#idle.promise, grace])
      timer.abort()
    }
    for (const call of this.#calls) call.abandon(shuttingDown)
    await Promise.all(
      [...this.#sessions.keys()].map(async (session) => this.#closeSession(session)),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(0)
  }

  #onSession(session: ServerHttp2Session): void {
    const { remoteAddress = 'unknown', remotePort = 0 } = session.socket
    const address = `${remoteAddress}:${remotePort}`
    this.#sessions.set(session, { address, hasFullWindow: false })
    session.setLocalWindowSize(connectionWindowBytes)
    session.on('error', () => {}) // followed by 'close'
    session.on('close', () => this.#sessions.delete(session))
  }

  /** Closes a connection: in good order when its peer reads what is left, by force otherwise. */
  async #closeSession(session: ServerHttp2Session): Promise<void> {
    if (session.destroyed) return
    const closed = new Promise<void>((resolve) => session.once('close', resolve))
    const timer = new AbortController()
    const grace = this.#ports.clock.sleep(flushMs, timer.signal).catch(() => {})
    session.close()
    await Promise.race([closed, grace])
    timer.abort()
    if (!session.destroyed) session.destroy()
    await closed
  }

  /** Never rejects: whatever goes wrong becomes the call's status. */
  async #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    if (!isGrpc(headers)) {
      stream.on('error', () => {})
      stream.respond({ [constants.HTTP2_HEADER_STATUS]: 415 }, { endStream: true })
      return
    }
    const session = stream.session as ServerHttp2Session
    const call = new Call(stream, headers, this.#sessions.get(session)?.address ?? 'unknown')
    this.#calls.add(call)
    const path = headers[':path'] ?? ''
    const route = this.#routes.get(path)
    try {
      if (this.#closing) throw new StatusError(shuttingDown.code, shuttingDown.message)
      if (route === undefined) throw new StatusError(Code.unimplemented, unknownMethod(path))
      this.#keepDeadline(call, headers)
      if (route.respond.requests === 'many') this.#watchUpload(call, session)
      await run(call, route, decompressFor(headers))
      call.finish({ code: Code.ok, message: '' })
    } catch (error) {
      this.#fail(call, route, path, error)
    } finally {
      this.#calls.delete(call)
      this.#uploads.delete(call)
      if (this.#calls.size === 0) this.#idle?.resolve()
    }
  }

  #watchUpload(call: Call, session: ServerHttp2Session): void {
    this.#uploads.add(call)
    call.onReceived(firstWindowBytes / 2, () => {
      const peer = this.#sessions.get(session)
      if (peer === undefined || peer.hasFullWindow || session.destroyed) return
      const uploads = [...this.#uploads].filter((upload) => !upload.ended)
      if (uploads.length > fullWindowUploadsMax) return
      peer.hasFullWindow = true
      session.settings({ initialWindowSize: streamWindowBytes })
    })
  }

  #keepDeadline(call: Call, headers: IncomingHttpHeaders): void {
    const timeout = headers['grpc-timeout']
    if (typeof timeout !== 'string') return
    const ms = parseTimeoutMs(timeout)
    if (ms === undefined) throw new StatusError(Code.internal, `malformed grpc-timeout: ${timeout}`)
    call.keepDeadline(ms, this.#ports.clock)
  }

  #fail(call: Call, route: Route | undefined, path: string, error: unknown): void {
    if (call.ended) return // its handler was told so, or the caller is gone: nobody to answer
    const status = statusOf(error, route?.style ?? 'rich', (cause) => {
      const reference = newHexId(this.#ports.random).slice(0, referenceDigits)
      this.#ports.log.failure(reference, path, cause)
      return reference
    })
    call.finish(status)
  }
}

const flushMs = 1000
const referenceDigits = 8
const shuttingDown = { code: Code.unavailable, message: 'the server is shutting down' } as const

function isGrpc(headers: IncomingHttpHeaders): boolean {
  const type = headers['content-type'] ?? ''
  return headers[':method'] === 'POST' && /^application\/grpc(?:\+proto)?(?:$|;)/.test(type)
}

function unknownMethod(path: string): string {
  return `unknown method ${path}: this server does not know it; an older or newer pachd may`
}

async function run(call: Call, route: Route, decompress: Decompress | undefined): Promise<void> {
  const { respond } = route
  if (respond.requests === 'one') {
    const request = await call.request(decompress)
    if (respond.responses === 'one') await call.send(await respond.call(request, call))
    else for await (const response of respond.call(request, call)) await call.send(response)
    return
  }
  const requests = call.requests(decompress)
  if (respond.responses === 'one') await call.send(await respond.call(requests, call))
  else for await (const response of respond.call(requests, call)) await call.send(response)
}

function decompressFor(headers: IncomingHttpHeaders): Decompress | undefined {
  const encoding = headers['grpc-encoding']
  if (encoding === undefined || encoding === 'identity') return undefined
  if (encoding === 'gzip') return decompressGzip
  throw new StatusError(
    Code.unimplemented,
    `grpc-encoding ${String(encoding)} is not supported; use identity or gzip`,
  )
}

const gunzipBytes = promisify(gunzip)

async function decompressGzip(compressed: Uint8Array, sizeMax: number): Promise<Uint8Array> {
  try {
    return await gunzipBytes(compressed, { maxOutputLength: sizeMax })
  } catch (error) {
    if (error instanceof RangeError) {
      throw new OversizedMessageError(
        `received message larger than max (${sizeMax}) when decompressed`,
      )
    }
    throw new MalformedMessageError('the message is not gzip data', { cause: error })
  }
}
