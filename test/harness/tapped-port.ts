import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/**
 * A port that leads to another, and sees what comes back: how much it is, and, when that is wanted, that
 * no more comes after some of it, as when a connection hangs; or cuts each connection after some bytes.
 */
export class TappedPort implements AsyncDisposable {
  readonly port: number
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #stallAfterBytes: number
  #downBytes = 0
  #upBytes = 0
  /** Connections that have carried so much, up or down, are cut; 0: every one, at once. */
  cutAfterBytes: number = Infinity
  /** Once so much has come back, every connection is cut, and every later one at once. */
  goneAfterBytes: number = Infinity
  /** The byte of what comes back that is changed on its way; then no other is. */
  garbledByte: number = Infinity

  private constructor(server: Server, target: number, stallAfterBytes: number) {
    this.port = (server.address() as AddressInfo).port
    this.#server = server
    this.#stallAfterBytes = stallAfterBytes
    server.on('connection', (socket) => this.#accept(socket, target))
  }

  static async open(
    target: number,
    options: { readonly stallAfterBytes?: number } = {},
  ): Promise<TappedPort> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new TappedPort(server, target, options.stallAfterBytes ?? Infinity)
  }

  /** What has come back until now. */
  get downBytes(): number {
    return this.#downBytes
  }

  /** What has gone there until now. */
  get upBytes(): number {
    return this.#upBytes
  }

  /** Cuts all connections that there are. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #accept(caller: Socket, target: number): void {
    const called = connect(target, '127.0.0.1')
    let carriedBytes = 0
    const carry = (bytes: Buffer): void => {
      carriedBytes += bytes.length
      if (carriedBytes >= this.cutAfterBytes) caller.destroy()
    }
    caller.on('data', (bytes) => {
      this.#upBytes += bytes.length
      carry(bytes)
    })
    called.on('data', carry)
    for (const [socket, other] of [
      [caller, called],
      [called, caller],
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => undefined) // followed by 'close'
      socket.on('close', () => {
        this.#sockets.delete(socket)
        other.destroy()
      })
    }
    caller.pipe(called)
    called.on('data', (bytes) => {
      const at = this.garbledByte - this.#downBytes
      this.#downBytes += bytes.length
      if (at < bytes.length) {
        const place = Math.max(0, at)
        bytes[place] = (bytes[place] ?? 0) ^ 1
        this.garbledByte = Infinity
      }
      if (this.#downBytes >= this.goneAfterBytes) {
        this.goneAfterBytes = Infinity
        this.cutAfterBytes = 0
        return this.cut()
      }
      const over = this.#downBytes - this.#stallAfterBytes
      const passed = over > 0 ? bytes.subarray(0, Math.max(0, bytes.length - over)) : bytes
      if (over > 0) called.pause()
      if (passed.length > 0 && !caller.write(passed) && over <= 0) {
        called.pause()
        caller.once('drain', () => called.resume())
      }
    })
  }
}
