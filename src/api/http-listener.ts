import type { RequestListener } from 'node:http'
import type { AddressInfo, Server } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { HttpConnections } from './http-connections.ts'
import { openPort, type PortAddress } from './open-port.ts'

export interface HttpListenOptions extends PortAddress {
  /** As of `ListenOptions`. */
  readonly connectionCountMax: number
  readonly http: RequestListener
}

/** An open port that speaks HTTP/1.1 only. */
export class HttpListener implements AsyncDisposable {
  /** What was bound, with the port that was picked. */
  readonly address: PortAddress
  readonly #server: Server
  readonly #connections: HttpConnections
  #connectionCount = 0

  /** Takes over a server that listens. */
  private constructor(
    server: Server,
    { http, connectionCountMax }: Omit<HttpListenOptions, keyof PortAddress>,
    clock: Clock,
  ) {
    const { address: host, port } = server.address() as AddressInfo
    this.address = { host, port }
    this.#server = server
    this.#connections = new HttpConnections(http, clock)
    server.on('connection', (socket) => {
      this.#connectionCount += 1
      socket.once('close', () => (this.#connectionCount -= 1))
      const isFull = this.#connectionCount > connectionCountMax
      if (isFull && !this.#connections.closeIdlest()) socket.destroy()
      else this.#connections.accept(socket)
    })
  }

  /** Throws as `openPort` does. */
  static async open(options: HttpListenOptions, clock: Clock): Promise<HttpListener> {
    return new HttpListener(await openPort(options), options, clock)
  }

  /** Takes no more callers, gives running answers at most `graceMs` to end, and ends the rest. */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
    this.#connections.closeIdle()
    await this.#connections.settled(graceMs)
    this.#connections.closeAll()
    await closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(0)
  }
}
