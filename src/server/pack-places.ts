import { FailedPreconditionError } from '../base/errors.ts'
import { LocalObjectStore } from '../storage/local-objects.ts'
import { type BucketNote, readBucketNote } from './bucket/bucket-note.ts'
import type { BucketPlace } from './bucket-place.ts'
import type { DataPlaces } from './data-directory.ts'
import type { Log } from './log.ts'
import {
  type BucketConfig,
  cacheBytesDefault,
  type OwnDirectory,
  type PackPlaces,
  type PackPlacesPorts,
} from './pack-places-ports.ts'

/**
 * Opens the objects of a data directory that this process has alone: in the directory, or in a bucket that
 * becomes, or is, its own.
 *
 * @throws {FailedPreconditionError} with advice, when the bucket is not to be used.
 */
export async function openPackPlaces(
  directory: OwnDirectory,
  config: BucketConfig,
  ports: PackPlacesPorts & { readonly log: Log },
): Promise<PackPlaces> {
  await using opened = new AsyncDisposableStack()
  const note = await readBucketNote(directory.root)
  const place = placeOf(directory.root, config, note)
  const local = opened.use(await LocalObjectStore.open(directory.objects))
  if (place === undefined) return inDirectory(local, opened.move())
  const { openInBucket } = await import('./bucket/bucket-packs.ts')
  const inBucket = await openInBucket(
    { directory, local, place, note },
    { ...config, cacheBytes: config.cacheBytes ?? cacheBytesDefault },
    ports,
    opened,
  )
  return { ...inDirectory(local, opened.move()), ...inBucket }
}

/** The same for whoever only looks, and uploads nothing. */
export async function openPackPlacesToCheck(
  places: DataPlaces & {
    readonly isReadOnly: boolean
    /** Where they are, should the directory not say that they are in a bucket. */
    readonly bucket?: BucketPlace | undefined
  },
  storeId: string | undefined,
  ports: PackPlacesPorts,
): Promise<PackPlaces> {
  await using opened = new AsyncDisposableStack()
  const local = opened.use(
    places.isReadOnly
      ? LocalObjectStore.openForReading(places.objects)
      : await LocalObjectStore.open(places.objects),
  )
  const note = (await readBucketNote(places.root)) ?? noteOf(places.bucket)
  if (note === undefined) return inDirectory(local, opened.move())
  const { openBucketToCheck } = await import('./bucket/bucket-packs.ts')
  const inBucket = await openBucketToCheck({ places, local, note, storeId }, ports, opened)
  return { ...inDirectory(local, opened.move()), ...inBucket }
}

function noteOf(place: BucketPlace | undefined): BucketNote | undefined {
  return place && { place, session: undefined, next: undefined }
}

function inDirectory(local: LocalObjectStore, opened: AsyncDisposableStack): PackPlaces {
  return {
    objects: local,
    near: local,
    start: () => Promise.resolve(),
    waiting: () => ({ count: 0, sizeBytes: 0 }),
    uploaded: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  }
}

/** @throws {FailedPreconditionError} when the directory's packs are in another bucket. */
function placeOf(
  root: string,
  { bucket }: BucketConfig,
  note: BucketNote | undefined,
): BucketPlace | undefined {
  if (note === undefined || bucket === undefined) return bucket ?? note?.place
  if (bucket.url === note.place.url) return bucket
  throw new FailedPreconditionError(
    `the packs of ${root} are in ${note.place.url}, and --store says ${bucket.url}: to move them, bring them back with pachd --root ${root} --leave-bucket first; to go on where they are, leave --store out`,
  )
}
