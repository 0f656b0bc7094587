import { InvalidArgumentError, PermissionDeniedError } from '../base/errors.ts'
import { isSourceUrl } from '../base/source-urls.ts'
import { parseTargetUrl } from '../base/target-urls.ts'
import { BucketPlace, DirectoryPlace } from '../backups/object-store-place.ts'
import type { BackupPlace } from '../backups/place.ts'
import type { CloudEnvironment } from '../clouds/bucket.ts'
import { Buckets } from '../clouds/open-buckets.ts'

export interface BackupPlacesOptions {
  readonly clouds: CloudEnvironment
  /** The directories that whoever runs the server has named. */
  readonly directories: readonly string[]
  /** Whether callers may name object stores. */
  readonly allowsStores: boolean
  /** The place that whoever runs the server has named. */
  readonly configured?: string | undefined
}

/** Opens the places for backups that a server can reach. */
export function backupPlaces(
  options: BackupPlacesOptions,
): (url: string, signal: AbortSignal) => Promise<BackupPlace> {
  const { clouds, directories, allowsStores, configured } = options
  return async (url, signal) => {
    if (!isSourceUrl(url)) {
      if (url === '') throw new InvalidArgumentError('it is not said where the backup is')
      if (directories.includes(url)) return await DirectoryPlace.open(url)
      throw new PermissionDeniedError(
        `${JSON.stringify(url)} is a directory of the server's machine, and it was not started with that one as --backup-to: name an object store, as in s3://BUCKET/PREFIX, or keep the backup on this side with --directory`,
      )
    }
    const target = parseTargetUrl(url)
    if (!allowsStores && url !== configured) {
      throw new PermissionDeniedError(
        'this server exchanges nothing with object stores that callers name (it runs with --sources none)',
      )
    }
    await using opened = new AsyncDisposableStack()
    const buckets = opened.use(new Buckets(clouds))
    const bucket = await buckets.openToWrite(target)
    const prefix = target.key === '' || target.key.endsWith('/') ? target.key : `${target.key}/`
    const place = new BucketPlace(bucket, prefix, signal)
    const kept = opened.move()
    return {
      name: place.name,
      list: (keys) => place.list(keys),
      read: (key) => place.read(key),
      write: (key, bytes) => place.write(key, bytes),
      remove: (key) => place.remove(key),
      [Symbol.asyncDispose]: () => kept.disposeAsync(),
    }
  }
}
