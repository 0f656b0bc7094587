import { createServer, type Server } from 'node:net'
import { InvalidArgumentError, UnavailableError } from '../base/errors.ts'

/** Where to listen. */
export interface PortAddress {
  /** A name or address; empty for all of this machine's. */
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
}

/** `HOST:PORT`, with an IPv6 address in brackets. */
export function addressText({ host, port }: PortAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

// Keep-alive finds out in minutes, not never, that the machine at the other end is gone.
const socketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }

/**
 * Opens a port. With `allowHalfOpen`, who has sent all may still get an answer.
 *
 * @throws {UnavailableError} when it is taken or not allowed.
 * @throws {InvalidArgumentError} when the host is not one of this machine.
 */
export async function openPort(
  address: PortAddress,
  options: { readonly allowHalfOpen?: boolean } = {},
): Promise<Server> {
  const { host, port } = address
  const server = createServer({ ...socketOptions, ...options })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(openError(address, error)))
    server.listen({ port, ...(host && { host }) }, resolve)
  })
  return server
}

/** Finds out whether a port could be opened, without keeping it. Throws as `openPort` does. */
export async function probePort(address: PortAddress): Promise<void> {
  const server = await openPort(address)
  await new Promise<void>((resolve) => {
    server.close(() => resolve())
  })
}

function openError({ host, port }: PortAddress, error: NodeJS.ErrnoException): Error {
  const where = `${host || 'all addresses'}, port ${port}`
  switch (error.code) {
    case 'EADDRINUSE':
      return new UnavailableError(
        `cannot listen on ${where}: another program does, perhaps another pachd; stop it or choose another port`,
        { cause: error },
      )
    case 'EACCES':
      return new UnavailableError(
        `cannot listen on ${where}: not permitted; choose a port above 1023`,
        { cause: error },
      )
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new InvalidArgumentError(
        `cannot listen on ${where}: this machine has no such address`,
        { cause: error },
      )
    default:
      return error
  }
}
