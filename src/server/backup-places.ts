import { stat } from 'node:fs/promises'
import {
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
  PermissionDeniedError,
} from '../base/errors.ts'
import { type PausePorts, patientRetries } from '../base/retries.ts'
import { shownSource } from '../base/source-urls.ts'
import { parseTargetUrl } from '../base/target-urls.ts'
import { BucketPlace, DirectoryPlace } from '../backups/object-store-place.ts'
import { type BackupPlace, writesMax } from '../backups/place.ts'
import type { CloudEnvironment, WritableBucket } from '../clouds/bucket.ts'
import { Buckets } from '../clouds/open-buckets.ts'
import { Pace } from '../clouds/pace.ts'
import { SteadyBucket } from '../clouds/steady-bucket.ts'
import { requireStoreReach, type StoreReach } from '../clouds/store-reach.ts'
import { ownerName } from '../storage/bucket-objects.ts'
import { type OwnPlaces, requireApart, requireApartBucket } from './own-places.ts'

export interface BackupPlacesOptions extends PausePorts {
  readonly clouds: CloudEnvironment
  /** The directories that whoever runs the server has named. */
  readonly directories: readonly string[]
  /** Which object stores callers may name. */
  readonly reach: StoreReach
  /** The place that whoever runs the server has named. */
  readonly configured?: string | undefined
  /** Where no backup may be written. */
  readonly own?: OwnPlaces
}

/**
 * Opens the places for backups that a server can reach.
 *
 * @throws {FailedPreconditionError} for a place to write to that is the server's own.
 */
export function backupPlaces(
  options: BackupPlacesOptions,
): (url: string, signal: AbortSignal, use?: 'read' | 'write') => Promise<BackupPlace> {
  const { clouds, directories, reach, configured, own, clock, random } = options
  return async (url, signal, use = 'read') => {
    if (!url.includes('://')) {
      if (url === '') throw new InvalidArgumentError('it is not said where the backup is')
      if (directories.includes(url)) return await openDirectory(url, use, own)
      throw new PermissionDeniedError(
        `${JSON.stringify(url)} is a directory of the server's machine, and it was not started with that one as --backup-to: name an object store, as in s3://BUCKET/PREFIX, or keep the backup on this side with --directory`,
      )
    }
    const target = parseTargetUrl(url, 'keep a backup in')
    if (own !== undefined && use === 'write') await requireApartBucket(target, own, clouds)
    if (url !== configured) {
      requireStoreReach(reach, target, `cannot keep a backup in ${shownSource(url)}`)
    }
    using opened = new DisposableStack()
    const buckets = opened.use(new Buckets(clouds))
    const pace = new Pace({ clock, random, retries: patientRetries }, writesMax, signal)
    const bucket = new SteadyBucket(await buckets.openToWrite(target), pace)
    const prefix = target.key === '' || target.key.endsWith('/') ? target.key : `${target.key}/`
    if (use === 'write') await requireNoPacks(bucket, prefix, signal)
    return new BucketPlace(bucket, prefix, { pace, signal, opened: opened.move() })
  }
}

async function openDirectory(
  directory: string,
  use: 'read' | 'write',
  own: OwnPlaces | undefined,
): Promise<DirectoryPlace> {
  if (use === 'write') {
    if (own !== undefined) await requireApart(directory, own)
    return await DirectoryPlace.open(directory)
  }
  const found = await stat(directory).catch(() => undefined)
  if (found?.isDirectory() === true) return DirectoryPlace.openForReading(directory)
  throw new NotFoundError(`${directory} is no directory: no backup has been made there yet`)
}

/**
 * Whoever keeps packs in a bucket says so in it, by whatever address that is reached.
 *
 * @throws {FailedPreconditionError} when keys with this prefix are among them.
 */
export async function requireNoPacks(
  bucket: WritableBucket,
  prefix: string,
  signal: AbortSignal,
): Promise<void> {
  const names = prefix.split('/').slice(0, -1)
  const prefixes = ['', ...names.map((_, at) => `${names.slice(0, at + 1).join('/')}/`)]
  for (const above of prefixes) {
    const key = above + ownerName
    const found = await bucket.find(key, signal).catch((error: unknown) => {
      // Some may look below their prefix only; and what is wrong with a bucket is told by its use.
      if (error instanceof PermissionDeniedError || error instanceof NotFoundError) return undefined
      throw error
    })
    if (found === undefined) continue
    throw new FailedPreconditionError(
      `the backup would be among the packs of a pachd, as ${bucket.name}/${key} says, and would be deleted with them: choose another prefix, best in another bucket; if that pachd has left this one (pachd --leave-bucket), and no other uses it, remove ${key} first`,
    )
  }
}
