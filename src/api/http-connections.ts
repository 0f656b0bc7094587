import { createServer, type RequestListener, type Server } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Serves HTTP/1.1 on the connections that it is given.
 *
 * Keeps track of them itself: Node's server does so only for ports that it opened.
 */
export class HttpConnections {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #busy = new Set<Socket>()
  #closing = false

  constructor(listener: RequestListener) {
    this.#server = createServer((request, response) => {
      const { socket } = request
      this.#busy.add(socket)
      response.once('close', () => {
        this.#busy.delete(socket)
        if (this.#closing) socket.end()
      })
      listener(request, response)
    })
  }

  /** Takes over a connection whose first bytes are still to be read. */
  accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    this.#server.emit('connection', socket)
    socket.resume()
  }

  /** Closes connections that are between requests, now and from now on. */
  closeIdle(): void {
    this.#closing = true
    for (const socket of this.#sockets) if (!this.#busy.has(socket)) socket.destroy()
  }

  closeAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}
