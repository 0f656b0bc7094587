import { execFile } from 'node:child_process'
import { constants, openSync, readSync } from 'node:fs'
import { Socket } from 'node:net'
import { promisify } from 'node:util'

const execute = promisify(execFile)
/** The kernel lets nobody but root have larger pipes. */
const pipeBytesMax = 1024 * 1024
const readBytes = 64 * 1024

/** Makes named pipes. Node cannot; its own pipes are sockets, which `/dev/stdout` cannot open. */
export async function makeFifos(...paths: readonly string[]): Promise<void> {
  await execute('mkfifo', ['-m', '600', '--', ...paths])
}

/** The reading end of a named pipe, which also keeps the pipe open while nobody writes. */
export class FifoReader implements Disposable {
  readonly #descriptor: number
  readonly #socket: Socket
  readonly #onBytes: (bytes: Buffer) => void
  readonly #buffer = Buffer.allocUnsafeSlow(readBytes)

  constructor(path: string, onBytes: (bytes: Buffer) => void) {
    this.#descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
    this.#onBytes = onBytes
    this.#socket = new Socket({ fd: this.#descriptor, readable: true, writable: false })
    this.#socket.on('data', onBytes)
    // Reading a pipe of our own fails only when it is closed; whoever waits hears of the sandbox.
    this.#socket.on('error', () => {})
  }

  /** Hands on at once what is in the pipe. If somebody goes on writing, no more than a pipe holds. */
  drain(): void {
    for (let drained = 0; drained < pipeBytesMax && !this.#socket.destroyed;) {
      const size = readNow(this.#descriptor, this.#buffer)
      if (size === 0) return
      drained += size
      // A copy: whoever gets it keeps it.
      this.#onBytes(Buffer.from(this.#buffer.subarray(0, size)))
    }
  }

  [Symbol.dispose](): void {
    // Closes the descriptor at once.
    this.#socket.destroy()
  }
}

/** How much can be read at once; 0 when the pipe is empty. */
function readNow(descriptor: number, buffer: Buffer): number {
  try {
    return readSync(descriptor, buffer)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return 0
    throw error
  }
}
