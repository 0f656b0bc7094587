import { lookup as lookUp, type LookupAddress } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { PermissionDeniedError } from '../base/errors.ts'
import type { StoreUrl } from '../base/source-urls.ts'
import { requireStoreReach } from '../clouds/store-reach.ts'

/** Where sources may lie: anywhere, at public addresses only, or nowhere. */
export type Reach = 'any' | 'public' | 'none'

/** What is not of the public internet, but looks as if it were: IANA's special-purpose registries. */
const special: BlockList = specialAddresses()

function specialAddresses(): BlockList {
  const list = new BlockList()
  for (const [address, bits] of [
    ['0.0.0.0', 8],
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['127.0.0.0', 8],
    ['169.254.0.0', 16],
    ['172.16.0.0', 12],
    ['192.0.0.0', 24],
    ['192.0.2.0', 24],
    ['192.88.99.0', 24],
    ['192.168.0.0', 16],
    ['198.18.0.0', 15],
    ['198.51.100.0', 24],
    ['203.0.113.0', 24],
    ['224.0.0.0', 3],
  ] as const) {
    list.addSubnet(address, bits, 'ipv4')
  }
  // Within 2000::/3: Teredo and its like, documentation, 6to4, which can all lead to other addresses.
  for (const [address, bits] of [
    ['2001::', 23],
    ['2001:db8::', 32],
    ['2002::', 16],
    ['3fff::', 20],
  ] as const) {
    list.addSubnet(address, bits, 'ipv6')
  }
  return list
}

/** Whether an address is of the public internet; false for what is no address. */
export function isPublicAddress(address: string): boolean {
  const bare = address.replace(/%.*$/, '')
  const family = isIP(bare)
  if (family === 0) return false
  if (family === 4) return !special.check(bare, 'ipv4')
  // 2000::/3 is all that is given out; the rest is local, mapped or reserved.
  return /^[23][0-9a-f]{3}:/i.test(bare) && !special.check(bare, 'ipv6')
}

/**
 * Keeps connections within reach: what a name means is looked up once, and the connection goes to an
 * address that was checked.
 *
 * @throws {PermissionDeniedError} from connecting.
 */
export class ReachGuard {
  readonly #reach: Reach
  readonly #lookUp: typeof lookUp

  constructor(reach: Reach, lookUpName: typeof lookUp = lookUp) {
    this.#reach = reach
    this.#lookUp = lookUpName
  }

  /** To be asked about every host before it is connected to: an address is never looked up. */
  requireHost(host: string): void {
    if (this.#reach === 'none') {
      throw new PermissionDeniedError(
        `cannot fetch from ${host}: this server fetches nothing (it runs with --sources none); send the bytes instead`,
      )
    }
    const bare = host.replace(/^\[|\]$/g, '')
    if (this.#reach === 'public' && isIP(bare.replace(/%.*$/, '')) !== 0) this.#require(host, bare)
  }

  /** Whatever the server may reach, where a store is was said by whoever runs it; but for an endpoint in its URL. */
  requireStore(url: StoreUrl): void {
    const store = `${url.kind} bucket ${url.bucket}`
    this.requireHost(store)
    requireStoreReach(this.#reach, url, `cannot fetch from ${store}`)
  }

  /** For `net.connect`. */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    this.#lookUp(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, [])
      try {
        if (this.#reach === 'public')
          for (const { address } of addresses) this.#require(hostname, address)
      } catch (refusal) {
        return callback(refusal as NodeJS.ErrnoException, [])
      }
      if (options.all === true) return callback(null, addresses)
      const [first] = addresses as readonly LookupAddress[]
      return callback(null, first?.address ?? '', first?.family)
    })
  }

  #require(host: string, address: string): void {
    if (isPublicAddress(address)) return
    const what = host === address ? 'it is' : `it is ${address},`
    throw new PermissionDeniedError(
      `cannot fetch from ${host}: ${what} no public address, and this server fetches from public ones only (it runs with --sources public)`,
    )
  }
}
