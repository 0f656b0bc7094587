import { FailedPreconditionError, NotFoundError } from '../../base/errors.ts'
import { BucketObjectStore } from '../../storage/bucket-objects.ts'
import { readOwner } from '../../storage/bucket-owner.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import type { BucketPlace } from '../bucket-place.ts'
import { layouts, openDataDirectory, placesIn, writeVersion } from '../data-directory.ts'
import type { BucketConfig, PackPlacesPorts } from '../pack-places-ports.ts'
import { requireEmptyFile } from '../backing-up/restored-metadata.ts'
import { ownerPorts } from './bucket-packs.ts'

/**
 * Makes of an empty directory the data directory that the bucket says it belongs to, without metadata: for
 * a disk that is lost. Whoever asks says that nothing uses the bucket any more (`takesBucket`). Nothing changes
 * unless `look` finds in it what is needed.
 *
 * @throws {FailedPreconditionError} with advice. @throws {NotFoundError} when the bucket is no pachd's.
 */
export async function adoptBucket(
  root: string,
  { bucket, takesBucket }: BucketConfig & { readonly bucket: BucketPlace },
  ports: PackPlacesPorts,
  look: (objects: ObjectStore) => Promise<void>,
): Promise<void> {
  await using opened = new AsyncDisposableStack()
  const bucketPorts = await ownerPorts(bucket, ports, opened)
  const owner = await readOwner(bucketPorts)
  if (owner === undefined) {
    throw new NotFoundError(
      `${bucket.url} does not say whose packs it has, and so nothing can be recovered from it: see that bucket and prefix are right`,
    )
  }
  if (takesBucket !== true) {
    throw new FailedPreconditionError(
      `${bucket.url} was last used on ${owner.host}: if nothing uses it now, and nothing will from there, recover with --take-bucket`,
    )
  }
  const { scratch: scratchDirectory } = placesIn(root)
  await look(opened.use(new BucketObjectStore({ ...bucketPorts, scratchDirectory })))
  await using directory = await openDataDirectory(root, ports.random)
  await requireEmptyFile(directory)
  await writeVersion(root, owner.store, layouts.bucket)
}
