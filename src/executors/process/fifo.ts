import { execFile } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { Socket } from 'node:net'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** Makes named pipes. Node cannot; its own pipes are sockets, which `/dev/stdout` cannot open. */
export async function makeFifos(...paths: readonly string[]): Promise<void> {
  await execute('mkfifo', ['-m', '600', '--', ...paths])
}

/**
 * The reading end of a named pipe, which also keeps the pipe open while nobody writes. The caller
 * destroys it.
 */
export function readFifo(path: string, onBytes: (bytes: Buffer) => void): Socket {
  const descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  let socket: Socket
  try {
    socket = new Socket({ fd: descriptor, readable: true, writable: false })
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
  socket.on('data', onBytes)
  // Reading a pipe of our own fails only when it is destroyed; whoever waits hears of the sandbox.
  socket.on('error', () => {})
  return socket
}
