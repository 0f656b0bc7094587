import { lookup } from 'node:dns/promises'
import { networkInterfaces } from 'node:os'

const amazons = /^s3(?:[.-].*)?\.amazonaws\.com(?:\.cn)?$/
/** All of them are this machine. */
const loopback = /^(?:127\.|0\.0\.0\.0$|::1?$|::ffff:(?:127\.|7f))/

/**
 * Whether two addresses of stores lead to one, however they are spelled; undefined is Amazon's. A proxy, or
 * another port of the same store, is not seen through.
 */
export async function isSameEndpoint(
  one: string | undefined,
  other: string | undefined,
): Promise<boolean> {
  const [here, there] = await Promise.all([one, other].map(portOf))
  if (here === undefined || there === undefined) return here === there
  if (here.port !== there.port) return false
  return here.hosts.some((host) => there.hosts.includes(host))
}

interface EndpointPort {
  readonly port: string
  /** Its name, and the addresses that it has. */
  readonly hosts: readonly string[]
}

async function portOf(endpoint: string | undefined): Promise<EndpointPort | undefined> {
  const url = endpoint === undefined ? null : URL.parse(endpoint)
  if (url === null) return undefined
  const name = url.hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')
  if (amazons.test(name)) return undefined
  // A name that nobody knows now is at least itself.
  const found = await lookup(name, { all: true }).catch(() => [])
  const own = new Set(
    Object.values(networkInterfaces())
      .flatMap((each = []) => each)
      .map(({ address }) => address),
  )
  const addresses = found.map(({ address }) =>
    loopback.test(address) || own.has(address) ? 'this machine' : address,
  )
  const port = url.port === '' ? { 'http:': '80', 'https:': '443' }[url.protocol] : url.port
  return { port: port ?? '', hosts: [name, ...addresses] }
}
