import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { Socket } from 'node:net'
import { waitAtMost } from '../../base/clock.ts'
import {
  connectionWindowBytes,
  frameBytesMax,
  isWebContentType,
  ownUserAgent,
  streamWindowBytes,
} from '../../base/grpc-wire.ts'
import type { Call } from './call.ts'
import { CallRunner, type GrpcServerPorts } from './call-runner.ts'
import { Echo } from './echo.ts'
import { Http2Wire } from './http2-wire.ts'
import { PeerWatch } from './peer-watch.ts'
import type { Route } from './service.ts'
import { WebWire } from './web-wire.ts'

/** What the library may hold of headers, frames and answers for one connection; in MiB. */
const sessionMemoryMibMax = 1024
/** What a stream may send ahead of its handler at first; what HTTP/2 begins with. */
const firstWindowBytes = 65_535
/**
 * What it may send on connections of large uploads, by how many there are of any: 64 MiB together. With more,
 * all windows are as at first.
 */
const wideWindows = [
  { uploadCountMax: 8, windowBytes: streamWindowBytes },
  { uploadCountMax: 64, windowBytes: streamWindowBytes / 8 },
] as const
/** The callers of 1.5 miscount when a window shrinks, so theirs never grow. */
const miscounting = /\bgrpc-go\/[01]\.\d\b/
/** Callers that cancel a stream of requests by nothing but a reset. Others in Node end it right before. */
const resetting = /^grpc-(?:go|python|java|c\+\+|ruby|csharp|php|swift|dotnet)\//
/** Callers know this bound and keep to it; clients of 1.5 have at most 100 puts and gets at once. */
const streamsPerConnectionMax = 1000
/** Callers that cancel often are no attack: 1.5's clients end streams by resetting them. */
const streamResets = { streamResetBurst: 100_000, streamResetRate: 10_000 }
/** How long a connection that closes may take to send what is left. */
const flushMs = 1000

interface Peer {
  readonly address: string
  /** What it may send ahead on each stream, as it has agreed to. */
  windowBytes: number
  /** It has been told of another window, and has not agreed yet. */
  isSettling: boolean
  streamCount: number
  readonly echo: Echo
}

/** Serves gRPC on the connections that it is given. */
export class GrpcServer implements AsyncDisposable {
  readonly #runner: CallRunner
  readonly #ports: GrpcServerPorts
  readonly #http2: Http2Server
  readonly #watch: PeerWatch
  /** Open connections. */
  readonly #sessions = new Map<ServerHttp2Session, Peer>()
  /** Those of them without a call, the one that has been so longest first. */
  readonly #idle = new Set<ServerHttp2Session>()
  /** Those with a window larger than at first. */
  readonly #wide = new Set<ServerHttp2Session>()

  constructor(routes: readonly Route[], ports: GrpcServerPorts) {
    this.#runner = new CallRunner(routes, ports)
    this.#ports = ports
    this.#watch = new PeerWatch(ports.clock)
    this.#http2 = createServer({
      maxSessionMemory: sessionMemoryMibMax,
      ...streamResets,
      settings: {
        initialWindowSize: firstWindowBytes,
        maxFrameSize: frameBytesMax,
        maxConcurrentStreams: streamsPerConnectionMax,
        enablePush: false,
      },
    })
    this.#http2.on('session', (session) => this.#onSession(session))
    this.#http2.on('sessionError', () => {}) // the connection is gone; its calls see that
    this.#http2.on('stream', (stream, headers) => this.#onStream(stream, headers))
  }

  /** Takes over a connection whose first bytes are still to be read. */
  accept(socket: Socket): void {
    this.#http2.emit('connection', socket)
  }

  /** Answers a request of HTTP/1.1 that is a call in gRPC-Web. False when it is none. */
  acceptWeb(request: IncomingMessage, response: ServerResponse): boolean {
    const { headers, method, url = '' } = request
    if (method !== 'POST' || !isWebContentType(headers['content-type'] ?? '')) return false
    const { remoteAddress = 'unknown', remotePort = 0 } = request.socket
    const peer = `${remoteAddress}:${remotePort}`
    const call = { path: url, headers, peer, connection: request.socket }
    void this.#runner.run(new WebWire(request, response), call)
    return true
  }

  /**
   * Closes the connection that has had no call longest; its caller opens another when it has one.
   * False when all have calls.
   */
  closeIdlest(): boolean {
    for (const session of this.#idle) {
      this.#idle.delete(session)
      if (session.destroyed) continue
      session.close()
      return true
    }
    return false
  }

  /**
   * Lets running calls come to their end for at most `graceMs`, ends the others with UNAVAILABLE,
   * and closes all connections of HTTP/2.
   */
  async close(graceMs: number): Promise<void> {
    for (const session of this.#sessions.keys()) session.close()
    await this.#runner.close(graceMs)
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
    const windowBytes = firstWindowBytes
    const echo = new Echo(session)
    this.#sessions.set(session, { address, windowBytes, isSettling: false, streamCount: 0, echo })
    this.#idle.add(session)
    session.setLocalWindowSize(connectionWindowBytes)
    session.on('error', () => {}) // followed by 'close'
    session.on('close', () => {
      this.#sessions.delete(session)
      this.#idle.delete(session)
      this.#wide.delete(session)
    })
    this.#watch.add(session)
  }

  /** Closes a connection: in good order when its peer reads what is left, by force otherwise. */
  async #closeSession(session: ServerHttp2Session): Promise<void> {
    if (session.destroyed) return
    const closed = new Promise<void>((resolve) => session.once('close', resolve))
    session.close()
    await waitAtMost(this.#ports.clock, flushMs, closed)
    if (!session.destroyed) session.destroy()
    await closed
  }

  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const session = stream.session as ServerHttp2Session
    this.#keepBusy(session, stream)
    if (!isGrpc(headers)) {
      stream.on('error', () => {})
      stream.respond({ [constants.HTTP2_HEADER_STATUS]: 415 }, { endStream: true })
      return
    }
    const peer = this.#sessions.get(session)
    if (peer === undefined) return
    const path = headers[':path'] ?? ''
    const call = { path, headers, peer: peer.address, connection: session }
    const program = headers['user-agent'] ?? ''
    const canWiden = !miscounting.test(program)
    const isResetting = program === ownUserAgent || resetting.test(program)
    const mayEndEarly = this.#runner.takesMany(path) && !isResetting
    const wire = new Http2Wire(stream, peer, mayEndEarly ? peer.echo : undefined)
    void this.#runner.run(wire, call, (upload) => {
      if (canWiden) this.#widenWhenLarge(upload, session)
      this.#narrow()
    })
  }

  #keepBusy(session: ServerHttp2Session, stream: ServerHttp2Stream): void {
    const peer = this.#sessions.get(session)
    if (peer === undefined) return
    peer.streamCount += 1
    this.#idle.delete(session)
    stream.once('close', () => {
      peer.streamCount -= 1
      if (peer.streamCount === 0 && this.#sessions.has(session)) this.#idle.add(session)
    })
  }

  /** Gives the connection of a call that turns out to send much as wide a window as all may have. */
  #widenWhenLarge(call: Call, session: ServerHttp2Session): void {
    call.onReceived(firstWindowBytes / 2, () => {
      const peer = this.#sessions.get(session)
      const windowBytes = this.#windowBytes()
      if (peer !== undefined && peer.windowBytes < windowBytes) this.#agree(session, windowBytes)
    })
  }

  /** With more uploads, each gets less. */
  #narrow(): void {
    if (this.#wide.size === 0) return
    const windowBytes = this.#windowBytes()
    for (const session of this.#wide) {
      const peer = this.#sessions.get(session)
      if (peer !== undefined && peer.windowBytes > windowBytes) this.#agree(session, windowBytes)
    }
  }

  #windowBytes(): number {
    const { uploadCount } = this.#runner
    const fitting = wideWindows.find(({ uploadCountMax }) => uploadCount <= uploadCountMax)
    return fitting?.windowBytes ?? firstWindowBytes
  }

  /** Until its peer has agreed, a connection has the window that it had; what has changed since counts then. */
  #agree(session: ServerHttp2Session, windowBytes: number): void {
    const peer = this.#sessions.get(session)
    if (peer === undefined || peer.isSettling || session.destroyed) return
    peer.isSettling = true
    this.#wide.add(session)
    session.settings({ initialWindowSize: windowBytes }, () => {
      peer.isSettling = false
      peer.windowBytes = windowBytes
      if (windowBytes === firstWindowBytes) this.#wide.delete(session)
      this.#narrow()
    })
  }
}

function isGrpc(headers: IncomingHttpHeaders): boolean {
  const type = headers['content-type'] ?? ''
  return headers[':method'] === 'POST' && /^application\/grpc(?:\+proto)?(?:$|;)/.test(type)
}
