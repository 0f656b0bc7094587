import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { insideData, nearestReal } from '../backups/backup-directory.ts'
import { FailedPreconditionError } from '../base/errors.ts'
import type { StoreUrl } from '../base/source-urls.ts'
import type { CloudEnvironment } from '../clouds/bucket.ts'
import type { BucketPlace } from './bucket-place.ts'
import { placesIn } from './data-directory.ts'
import { isSameEndpoint } from './same-endpoint.ts'

/** Where a server keeps what backups are made of. */
export interface OwnPlaces {
  /** The data directory. */
  readonly root: string
  /** Of the packs, when they are in one. */
  readonly bucket?: BucketPlace | undefined
}

/**
 * Compares files, not names: links and mounts lead to the same directory.
 *
 * @throws {FailedPreconditionError} for a directory that is in, under or above the data directory, or one of
 * those that it is made of.
 */
export async function requireApart(directory: string, { root }: OwnPlaces): Promise<void> {
  const { objects, scratch, cache } = placesIn(root)
  const [above = [], ...chains] = await Promise.all(
    [directory, root, objects, scratch, cache].map(async (path) => await idsUpwards(path)),
  )
  const [self] = await idsOf(directory)
  for (const own of [root, objects, scratch, cache]) {
    const [id] = await idsOf(own)
    if (id !== undefined && above.includes(id)) throw insideData(directory, root)
  }
  if (self === undefined || !chains.some((chain) => chain.includes(self))) return
  throw new FailedPreconditionError(
    `${directory} holds ${root}, the data directory of this server: choose a place for backups that is of their own, best on another disk`,
  )
}

/** Device and number of a file; none when it is missing. */
async function idsOf(path: string): Promise<readonly string[]> {
  const found = await stat(path, { bigint: true }).catch(() => undefined)
  return found === undefined ? [] : [`${found.dev}:${found.ino}`]
}

/** Of what is there of a path, and of all directories above. */
async function idsUpwards(path: string): Promise<readonly string[]> {
  const ids: string[] = []
  for (let at = await nearestReal(path); ; at = dirname(at)) {
    ids.push(...(await idsOf(at)))
    if (at === dirname(at)) return ids
  }
}

/** @throws {FailedPreconditionError} for keys that are in, under or above those of the packs. */
export async function requireApartBucket(
  { kind, bucket, account, key, endpoint }: StoreUrl,
  { bucket: own }: OwnPlaces,
  clouds: CloudEnvironment,
): Promise<void> {
  if (own === undefined || kind !== own.kind || bucket !== own.bucket) return
  if (account !== own.account && account !== undefined && own.account !== undefined) return
  const prefix = key === '' || key.endsWith('/') ? key : `${key}/`
  if (!prefix.startsWith(own.prefix) && !own.prefix.startsWith(prefix)) return
  const given = clouds.variables['AWS_ENDPOINT_URL_S3'] ?? clouds.variables['AWS_ENDPOINT_URL']
  if (kind === 's3' && !(await isSameEndpoint(own.endpoint ?? given, endpoint ?? given))) return
  throw new FailedPreconditionError(
    `the backup would be among the packs of this server, which are in ${own.url}, and would be deleted with them: choose another prefix, best in another bucket`,
  )
}
