import type { RequestListener } from 'node:http'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Clock } from '../base/clock.ts'
import type { GrpcServerPorts } from './grpc/call-runner.ts'
import { GrpcServer } from './grpc/server.ts'
import type { Route } from './grpc/service.ts'
import { HttpConnections } from './http-connections.ts'
import { openPort, type PortAddress } from './open-port.ts'

export interface ListenOptions extends PortAddress {
  /**
   * Connections at once. For one more, the one that has been idle longest is closed; when none is,
   * the new one.
   */
  readonly connectionCountMax: number
  readonly routes: readonly Route[]
  /** Answers browsers, curl and whoever else speaks HTTP/1.1. */
  readonly http: RequestListener
}

/** A caller that says nothing is dropped after this long; an HTTP/2 one speaks first. */
const silenceMsMax = 30_000
/** HTTP/2 starts with `PRI * HTTP/2.0`; no method of HTTP/1.1 starts so. */
const http2Start = Buffer.from('PRI')

/** An open port that speaks gRPC, and HTTP/1.1 with gRPC-Web to those who speak that first. */
export class Listener implements AsyncDisposable {
  /** What was bound, with the port that was picked. */
  readonly address: { readonly host: string; readonly port: number }
  readonly #server: Server
  readonly #grpc: GrpcServer
  readonly #http: HttpConnections
  readonly #connections = new Set<Socket>()
  readonly #undecided = new Set<Socket>()

  /** Takes over a server that listens. */
  private constructor(
    server: Server,
    grpc: GrpcServer,
    {
      http,
      connectionCountMax,
      clock,
    }: Pick<ListenOptions, 'http' | 'connectionCountMax'> & {
      readonly clock: Clock
    },
  ) {
    const { address: host, port } = server.address() as AddressInfo
    this.address = { host, port }
    this.#server = server
    this.#grpc = grpc
    this.#http = new HttpConnections((request, response) => {
      if (!grpc.acceptWeb(request, response)) http(request, response)
    }, clock)
    server.on('connection', (socket) => {
      this.#connections.add(socket)
      socket.once('close', () => this.#connections.delete(socket))
      const isFull = this.#connections.size > connectionCountMax
      if (isFull && !this.#closeIdlest()) socket.destroy()
      else this.#sniff(socket)
    })
  }

  /**
   * @throws {UnavailableError} when the port is taken or not allowed.
   * @throws {InvalidArgumentError} when the host is not one of this machine.
   */
  static async open(options: ListenOptions, ports: GrpcServerPorts): Promise<Listener> {
    const server = await openPort(options)
    return new Listener(server, new GrpcServer(options.routes, ports), {
      ...options,
      clock: ports.clock,
    })
  }

  /** Takes no more callers, gives running calls at most `graceMs` to end, and ends the rest. */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
    for (const socket of this.#undecided) socket.destroy()
    this.#http.closeIdle()
    await Promise.all([this.#grpc.close(graceMs), this.#http.settled(graceMs)])
    this.#http.closeAll()
    await closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(0)
  }

  /** Makes room for a connection: first of those that have said nothing yet. */
  #closeIdlest(): boolean {
    for (const socket of this.#undecided) {
      this.#undecided.delete(socket)
      socket.destroy()
      return true
    }
    return this.#http.closeIdlest() || this.#grpc.closeIdlest()
  }

  /** Looks at what the caller says first, without taking it away from who will answer. */
  #sniff(socket: Socket): void {
    const drop = (): void => void socket.destroy()
    const heard: Buffer[] = []
    const hear = (slice: Buffer): void => {
      heard.push(slice)
      const bytes = Buffer.concat(heard)
      const isHttp2 = bytes.subarray(0, http2Start.length).equals(http2Start)
      const isUndecided = !isHttp2 && http2Start.subarray(0, bytes.length).equals(bytes)
      if (isUndecided) return
      this.#undecided.delete(socket)
      socket.off('data', hear).off('error', drop).off('timeout', drop).setTimeout(0)
      socket.pause()
      socket.unshift(bytes)
      if (isHttp2) this.#grpc.accept(socket)
      else this.#http.accept(socket)
    }
    this.#undecided.add(socket)
    socket.once('close', () => this.#undecided.delete(socket))
    socket.on('error', drop).on('timeout', drop).setTimeout(silenceMsMax)
    socket.on('data', hear)
  }
}
