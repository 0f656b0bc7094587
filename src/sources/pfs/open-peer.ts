import type { Clock } from '../../base/clock.ts'
import { FailedPreconditionError } from '../../base/errors.ts'
import type { Address } from '../../client/address.ts'
import type { Transport } from '../../client/transport.ts'
import { getVersion, type Version } from '../../client/version.ts'
import { patiently, type ResumePorts } from '../resumed-bytes.ts'
import { ModernPeer } from './modern-peer.ts'
import { NumberedPeer } from './numbered-peer.ts'
import type { Peer } from './peer.ts'
import { PeerErrors } from './peer-calls.ts'

export interface OpenPeerPorts extends ResumePorts {
  readonly clock: Clock
}

/** What this project adds to the version that it serves. */
const ourMark = /^ts-/

/**
 * Asks a server for its version, which decides how to talk to it.
 *
 * @throws {UnavailableError} when there is none. @throws {FailedPreconditionError} for one that is too old.
 */
export async function openPeer(
  ports: OpenPeerPorts,
  transport: Transport,
  address: Address,
  signal: AbortSignal,
): Promise<Peer> {
  const errors = new PeerErrors(address)
  const version = await patiently(ports, signal, (stop) =>
    errors.call(() => getVersion(transport, { signal: stop })),
  )
  if (isAtLeast(version, 1, 4)) {
    return new ModernPeer(transport, address, ourMark.test(version.additional))
  }
  if (isAtLeast(version, 1, 3)) return new NumberedPeer(transport, address)
  throw new FailedPreconditionError(
    `pachd at ${errors.address} is of version ${version.major}.${version.minor}.${version.micro}: files are put from 1.3 and later`,
  )
}

function isAtLeast(version: Version, major: number, minor: number): boolean {
  return version.major > major || (version.major === major && version.minor >= minor)
}
