import { execFile } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { Socket } from 'node:net'
import { promisify } from 'node:util'
import { isMainThread } from 'node:worker_threads'

const execute = promisify(execFile)

/** Makes named pipes. Node cannot; its own pipes are sockets, which `/dev/stdout` cannot open. */
export async function makeFifos(...paths: readonly string[]): Promise<void> {
  await execute('mkfifo', ['-m', '600', '--', ...paths])
}

/** The reading end of a named pipe, which also keeps the pipe open while nobody writes. */
export class FifoReader implements Disposable {
  readonly #descriptor: number
  readonly #socket: Socket

  constructor(path: string, onBytes: (bytes: Buffer) => void) {
    this.#descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
    this.#socket = new Socket({ fd: this.#descriptor, readable: true, writable: false })
    this.#socket.on('data', onBytes)
    // Reading a pipe of our own fails only when it is closed; whoever waits hears of the sandbox.
    this.#socket.on('error', () => {})
  }

  [Symbol.dispose](): void {
    if (this.#socket.destroyed) return
    // Closes the descriptor at once.
    this.#socket.destroy()
    if (!isMainThread) forget(this.#descriptor)
  }
}

/** A thread closes, when it ends, what it believes is open: by then the number is another file's. */
function forget(descriptor: number): void {
  try {
    closeSync(descriptor)
  } catch {
    // It is closed, as it should be.
  }
}
