import { closeSync, constants, openSync, readSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { dirname, join } from 'node:path'

import { FailedPreconditionError, UnavailableError } from '../../base/errors.ts'
import { makeNamedPipes } from '../../pipelines/named-pipes.ts'
import { requireDescriptors } from './descriptors.ts'

const fifoMode = 0o600

/** The kernel lets nobody but root have larger pipes. */
const pipeBytesMax = 1024 * 1024
const readBytes = 64 * 1024

const advice =
  "move the data directory (pachd --root) to a file system of Linux's own, such as ext4, XFS or Btrfs, not exFAT, " +
  'CIFS, or a drive of Windows in WSL'
/** How the system says that a file system has no named pipes. */
const refusal = /: (Operation not permitted|Operation not supported|Function not implemented)$/m

/** The file system that slots are on has no named pipes: no code of pipelines can run. */
export class NoFifosError extends FailedPreconditionError {
  override readonly name = 'NoFifosError'
}

/**
 * Makes named pipes. Node's own pipes are sockets, which `/dev/stdout` cannot open.
 *
 * @throws {NoFifosError}
 */
export async function makeFifos(...paths: readonly string[]): Promise<void> {
  try {
    requireDescriptors()
    await makeNamedPipes(fifoMode, paths)
  } catch (error) {
    // A program that ended by itself has said why.
    if (!(error instanceof Error && 'code' in error && typeof error.code === 'number')) throw error
    const directory = dirname(paths[0] ?? '')
    if (!refusal.test(error.message)) {
      const said = error.message.split('\n').slice(1).join(' ').trim()
      throw new UnavailableError(`no named pipes could be made in ${directory}: ${said}`, {
        cause: error,
      })
    }
    throw new NoFifosError(
      `the file system at ${directory} has no named pipes, without which no code of pipelines can run: ${advice}`,
      { cause: error },
    )
  }
}

/** Whether slots can be in this directory; else why not. */
export async function fifosFault(directory: string): Promise<string | undefined> {
  const path = join(directory, 'try-pipe')
  try {
    await makeFifos(path)
    return undefined
  } catch (error) {
    if (error instanceof NoFifosError) return error.message
    // The first slot tells of it, if it is still so.
    return undefined
  } finally {
    rmSync(path, { force: true })
  }
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
    try {
      this.#socket = new Socket({ fd: this.#descriptor, readable: true, writable: false })
    } catch (error) {
      closeSync(this.#descriptor)
      throw error
    }
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
  const { stackTraceLimit } = Error
  // An empty pipe is an error to Node, and mostly they are empty: what such an error costs is its stack.
  Error.stackTraceLimit = 0
  try {
    return readSync(descriptor, buffer)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return 0
    throw error
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}
