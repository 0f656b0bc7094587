import { createServer, type RequestListener, type Server } from 'node:http'
import type { Socket } from 'node:net'
import { type Clock, waitAtMost } from '../base/clock.ts'

/** Between requests, and until the headers of one are whole; Node's own bound is for its own ports. */
const headersMsMax = 30_000

/**
 * Serves HTTP/1.1 on the connections that it is given.
 *
 * Keeps track of them itself: Node's server does so only for ports that it opened.
 */
export class HttpConnections {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** How many requests of a connection are not answered: it may send some ahead. */
  readonly #busy = new Map<Socket, number>()
  readonly #clock: Clock
  readonly #deadlines = new Map<Socket, AbortController>()
  #closing = false
  #idle: PromiseWithResolvers<void> | undefined

  constructor(listener: RequestListener, clock: Clock) {
    this.#clock = clock
    this.#server = createServer((request, response) => {
      const { socket } = request
      this.#busy.set(socket, (this.#busy.get(socket) ?? 0) + 1)
      this.#deadlines.get(socket)?.abort()
      response.once('close', () => this.#answered(socket))
      listener(request, response)
    })
  }

  /** Takes over a connection whose first bytes are still to be read. */
  accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#deadlines.get(socket)?.abort()
      this.#deadlines.delete(socket)
    })
    this.#expectHeaders(socket)
    this.#server.emit('connection', socket)
    socket.resume()
  }

  /** Closes connections that are between requests, now and from now on. */
  closeIdle(): void {
    this.#closing = true
    for (const socket of this.#sockets) if (!this.#busy.has(socket)) socket.destroy()
  }

  /** Resolves when no answer is on its way, or after `graceMs`. */
  async settled(graceMs: number): Promise<void> {
    if (this.#busy.size === 0 || graceMs === 0) return
    this.#idle = Promise.withResolvers<void>()
    await waitAtMost(this.#clock, graceMs, this.#idle.promise)
  }

  closeAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Closes a connection that is between requests, the oldest of them. False when there is none. */
  closeIdlest(): boolean {
    for (const socket of this.#sockets) {
      if (this.#busy.has(socket)) continue
      this.#sockets.delete(socket)
      socket.destroy()
      return true
    }
    return false
  }

  #answered(socket: Socket): void {
    const left = (this.#busy.get(socket) ?? 1) - 1
    if (left > 0) {
      this.#busy.set(socket, left)
      return
    }
    this.#busy.delete(socket)
    if (this.#busy.size === 0) this.#idle?.resolve()
    if (this.#closing) socket.end()
    else this.#expectHeaders(socket)
  }

  #expectHeaders(socket: Socket): void {
    if (socket.destroyed) return
    const deadline = new AbortController()
    this.#deadlines.set(socket, deadline)
    this.#clock.sleep(headersMsMax, deadline.signal).then(
      () => void socket.destroy(),
      () => {}, // they came, or the connection is gone
    )
  }
}
