import { rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { CancelledError, FailedPreconditionError } from '../../base/errors.ts'
import { lockDirectory } from '../../database/directory-lock.ts'
import { BucketObjectStore, ownerName } from '../../storage/bucket-objects.ts'
import { copyPacks } from '../../storage/copy-packs.ts'
import { LocalObjectStore } from '../../storage/local-objects.ts'
import { takeBucket } from './take-bucket.ts'
import { readBucketNote, removeBucketNote } from './bucket-note.ts'
import { layouts, placesIn, readStoreId, writeVersion } from '../data-directory.ts'
import type { PackPlacesPorts } from '../pack-places-ports.ts'
import { ownerPorts } from './bucket-packs.ts'

/**
 * Brings the packs of a data directory back from its bucket, and uses that no longer; what is in it stays.
 * Yields lines that say what it does. When it was ended, it goes on where it was.
 *
 * @throws {UnavailableError} while a server uses the directory, or the bucket cannot be reached.
 */
export async function* leaveBucket(
  root: string,
  ports: PackPlacesPorts & { readonly signal: AbortSignal },
): AsyncGenerator<string> {
  await using opened = new AsyncDisposableStack()
  const places = placesIn(root)
  const storeId = await readStoreId(root)
  const note = storeId === undefined ? undefined : await readBucketNote(root)
  if (storeId === undefined || note === undefined) {
    throw new FailedPreconditionError(
      `${root} ${storeId === undefined ? 'is no data directory of pachd' : 'has its packs in the directory already'}: there is no bucket to leave`,
    )
  }
  opened.use(await lockDirectory(root))
  const { place } = note
  const owner = await ownerPorts(place, ports, opened)
  // So that no other server deletes what is being copied.
  const taking = { root, store: storeId, host: hostname(), place, note, takes: false }
  await takeBucket({ ...taking, beforeNote: () => Promise.resolve() }, owner)
  const local = opened.use(await LocalObjectStore.open(places.objects))
  const remote = opened.use(new BucketObjectStore({ ...owner, scratchDirectory: places.scratch }))
  yield `bringing the packs of ${place.url} into ${places.objects}`
  const { count, sizeBytes, damaged } = await copyPacks(remote, local, () => {
    if (ports.signal.aborted) throw new CancelledError('ended; the same command goes on from here')
  })
  for (const { message } of damaged) yield `damaged, and copied as it is: ${message}`
  await removeBucketNote(root)
  await writeVersion(root, storeId, layouts.directory)
  await rm(places.cache, { recursive: true, force: true })
  yield `brought ${count} packs of ${sizeBytes} bytes; ${root} does not use the bucket any more`
  yield `check them with pachd --root ${root} --fsck --full, then delete what is in ${place.url}: as long as ${ownerName} is there, which says whose it was, no backup goes there`
}
