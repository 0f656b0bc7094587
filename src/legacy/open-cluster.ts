import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { InvalidArgumentError, NotFoundError } from '../base/errors.ts'
import { parseAddress } from '../client/address.ts'
import type { Bucket, BucketName } from '../clouds/bucket.ts'
import type { OnDamage } from './damage.ts'
import { LiveEtcd } from './etcd/live-etcd.ts'
import { openSnapshot } from './etcd/snapshot-file.ts'
import { fileError } from './objects/file-objects.ts'
import type { OldCluster } from './old-cluster.ts'
import type { OldMetadata } from './etcd/old-metadata.ts'
import { isEtcdAddress, type OldPlace } from './old-place.ts'
import { openOldObjects } from './objects/open-objects.ts'
import { ServedCluster } from './served/served-cluster.ts'
import { isWantedKey, type KeyPrefixes, StoredCluster, usualPrefixes } from './stored-cluster.ts'

export interface OpenPorts {
  readonly clock: Clock
  readonly openBucket: (name: BucketName) => Promise<Bucket>
  readonly onDamage: OnDamage
  readonly signal: AbortSignal
}

/** Opens an old cluster for reading. @throws {DomainError} with advice. */
export async function openOldCluster(place: OldPlace, ports: OpenPorts): Promise<OldCluster> {
  if (place.kind === 'server') {
    const { address, token = '' } = place
    return await ServedCluster.open({ address: parseAddress(address), token }, ports)
  }
  await using opened = new AsyncDisposableStack()
  const prefixes = {
    pfs: givenPrefix(place.prefixes?.pfs) || usualPrefixes.pfs,
    pps: givenPrefix(place.prefixes?.pps) || usualPrefixes.pps,
  }
  const metadata = opened.use(await openMetadata(place.etcd, prefixes, ports))
  const objects = opened.use(await openOldObjects(place.storage, ports.openBucket, ports.signal))
  const cluster = new StoredCluster(metadata, objects, prefixes)
  opened.move()
  return cluster
}

/** With a slash at its end it was the same to the old server. */
function givenPrefix(prefix = ''): string {
  return prefix.replace(/\/+$/, '')
}

async function openMetadata(
  etcd: string,
  prefixes: KeyPrefixes,
  ports: OpenPorts,
): Promise<OldMetadata> {
  if (isEtcdAddress(etcd)) {
    const address = parseAddress(etcd.replace(/^etcd:\/\//, ''))
    return await LiveEtcd.open(address, ports.clock, ports.signal)
  }
  if (/^[a-z]+:\/\//.test(etcd) || etcd === '') {
    throw new InvalidArgumentError(
      `cannot read an etcd from ${JSON.stringify(etcd)}: give a snapshot file, or HOST:PORT of an etcd that runs`,
    )
  }
  const found = await stat(etcd).catch(() => undefined)
  if (found?.isDirectory() === true) {
    throw new InvalidArgumentError(
      `${etcd} is a directory, and a snapshot of an etcd is one file: give that, or of the data directory of an etcd that was stopped ${join(etcd, 'member/snap/db')}`,
    )
  }
  if (found === undefined || !found.isFile()) {
    throw new NotFoundError(
      `there is no file ${etcd} on the machine of pachd: copy the snapshot there, or give HOST:PORT of an etcd that runs`,
    )
  }
  return await openSnapshot(etcd, isWantedKey(prefixes), ports.onDamage).catch((error: unknown) => {
    throw fileError(error)
  })
}
