import { InvalidArgumentError } from '../base/errors.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

export const defaultPort = 30650

/**
 * Reads `HOST`, `HOST:PORT` or `[IPv6]:PORT`, with or without `grpc://` or `http://` before it.
 *
 * @throws {InvalidArgumentError} for anything else.
 */
export function parseAddress(text: string): Address {
  const bare = text
    .trim()
    .replace(/^(?:grpc|http):\/\//, '')
    .replace(/\/$/, '')
  const match = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?$/.exec(bare)
  const host = match?.[1] ?? match?.[2]
  const port = match?.[3] === undefined ? defaultPort : Number(match[3])
  const isAddress = host !== undefined && port > 0 && port <= 65_535
  if (!isAddress || !URL.canParse(`http://${addressText({ host, port })}`)) {
    throw new InvalidArgumentError(
      `not an address: ${JSON.stringify(text)}; write HOST:PORT, for instance localhost:${defaultPort}`,
    )
  }
  return { host, port }
}

export function addressText(address: Address): string {
  const host = address.host.includes(':') ? `[${address.host}]` : address.host
  return `${host}:${address.port}`
}
