import { connect, type Server, type Socket } from 'node:net'
import { openPort } from '../api/open-port.ts'
import type { ServiceDoors } from '../pipelines/service-doors.ts'

/** Connections that one service has at once; more are closed. */
const connectionCountMax = 1000

/**
 * Listens for services whose code does not listen on the port at which they are reached itself, and
 * hands on what comes.
 */
export class ServiceForwarding implements ServiceDoors {
  readonly #host: string
  readonly #ownPorts: () => ReadonlySet<number>

  /** The address at which the server itself listens, and its ports, known once they are open. */
  constructor(host: string, ownPorts: () => ReadonlySet<number>) {
    this.#host = host
    this.#ownPorts = ownPorts
  }

  get ownPorts(): ReadonlySet<number> {
    return this.#ownPorts()
  }

  async open({
    internalPort,
    externalPort,
  }: {
    readonly internalPort: number
    readonly externalPort: number
  }): Promise<AsyncDisposable> {
    if (internalPort === externalPort) return { [Symbol.asyncDispose]: async () => {} }
    const server = await openPort({ host: this.#host, port: externalPort }, { allowHalfOpen: true })
    server.maxConnections = connectionCountMax
    const sockets = new Set<Socket>()
    server.on('connection', (socket) => forward(socket, internalPort, sockets))
    return { [Symbol.asyncDispose]: () => close(server, sockets) }
  }
}

function forward(caller: Socket, port: number, sockets: Set<Socket>): void {
  const code = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true })
  for (const [socket, other] of [
    [caller, code],
    [code, caller],
  ] as const) {
    sockets.add(socket)
    socket.pipe(other)
    socket.on('error', () => other.destroy())
    // The end of one is the end of the other, once what is on its way has been sent.
    socket.on('close', () => {
      sockets.delete(socket)
      other.destroySoon()
    })
  }
}

async function close(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  for (const socket of sockets) socket.destroy()
  await closed
}
