import { hostname } from 'node:os'
import { Buckets } from '../../clouds/open-buckets.ts'
import { BucketObjectStore } from '../../storage/bucket-objects.ts'
import { type OwnerPorts, OwnerWatch } from '../../storage/bucket-owner.ts'
import { CachedObjects } from '../../storage/cached-objects.ts'
import type { LocalObjectStore } from '../../storage/local-objects.ts'
import { ObjectCache } from '../../storage/object-cache.ts'
import { usualRetries } from '../../base/retries.ts'
import { StagedObjects } from '../../storage/staged-objects.ts'
import type { BucketPlace } from '../bucket-place.ts'
import type { DataPlaces } from '../data-directory.ts'
import type { Log } from '../log.ts'
import type {
  BucketConfig,
  OwnDirectory,
  PackPlaces,
  PackPlacesPorts,
} from '../pack-places-ports.ts'
import type { BucketNote } from './bucket-note.ts'
import { requireStore, takeBucket } from './take-bucket.ts'

const gib = 1024 ** 3

/** Packs that wait to be uploaded may take this much of the disk before puts wait for them. */
const stagedBytesMax = 8 * gib

/** What is other than in a directory alone. What it opens is `opened`'s. */
type InBucket = Omit<PackPlaces, typeof Symbol.asyncDispose>

/** Takes the bucket, and opens the objects in it. @throws {FailedPreconditionError} with advice. */
export async function openInBucket(
  what: {
    readonly directory: OwnDirectory
    readonly local: LocalObjectStore
    readonly place: BucketPlace
    readonly note: BucketNote | undefined
  },
  config: BucketConfig & { readonly cacheBytes: number },
  ports: PackPlacesPorts & { readonly log: Log },
  opened: AsyncDisposableStack,
): Promise<InBucket> {
  const { directory, local, place, note } = what
  const owner = await ownerPorts(place, ports, opened)
  const taking = {
    root: directory.root,
    store: directory.store.id,
    host: hostname(),
    place,
    note,
    takes: config.takesBucket === true,
    beforeNote: () => directory.noteBucket(),
  }
  const watching = new AbortController()
  const { signal } = watching
  const watch = new OwnerWatch({ ...owner, signal }, await takeBucket(taking, owner))
  const remote = new BucketObjectStore({
    ...owner,
    scratchDirectory: directory.scratch,
    beforeChange: (change) => watch.check(change),
  })
  const cache = opened.use(await ObjectCache.open(directory.cache, config.cacheBytes))
  const staged = opened.use(
    await StagedObjects.open({
      ...ports,
      staged: local,
      remote,
      scratchDirectory: directory.scratch,
      stagedBytesMax,
    }),
  )
  // At the end first: what is being uploaded waits for it, and is waited for.
  opened.defer(() => watching.abort())
  const { log } = ports
  return {
    objects: staged,
    near: new CachedObjects(staged, cache),
    url: place.url,
    start: () =>
      staged.start({
        onUploaded: (key, sizeBytes, linkTo) => cache.adopt(key, sizeBytes, linkTo),
        onTrouble: (trouble) => tellTrouble(log, place, staged, trouble),
      }),
    waiting: () => staged.waiting,
    uploaded: () => staged.uploaded(),
  }
}

/** For whoever only looks, and uploads nothing. */
export async function openBucketToCheck(
  what: {
    readonly places: DataPlaces
    readonly local: LocalObjectStore
    readonly note: BucketNote
    readonly storeId: string | undefined
  },
  ports: PackPlacesPorts,
  opened: AsyncDisposableStack,
): Promise<Pick<InBucket, 'objects' | 'near' | 'url'>> {
  const { places, local, note, storeId } = what
  const { place } = note
  const owner = await ownerPorts(place, ports, opened)
  if (storeId !== undefined) await requireStore({ place, store: storeId }, owner)
  const { scratch: scratchDirectory } = places
  const remote = new BucketObjectStore({ ...owner, scratchDirectory })
  const staged = opened.use(
    await StagedObjects.open({ ...ports, staged: local, remote, scratchDirectory, stagedBytesMax }),
  )
  const { url } = place
  return { objects: staged, near: staged, url }
}

export async function ownerPorts(
  place: BucketPlace,
  { clock, random, clouds, giveUp }: PackPlacesPorts,
  opened: AsyncDisposableStack,
): Promise<OwnerPorts> {
  const stop = new AbortController()
  opened.defer(() => stop.abort())
  const buckets = opened.use(new Buckets(clouds))
  const bucket = await buckets.openStore(place)
  const { prefix } = place
  const signal = giveUp === undefined ? stop.signal : AbortSignal.any([stop.signal, giveUp])
  return { bucket, prefix, clock, random, retries: usualRetries, signal }
}

function tellTrouble(
  log: Log,
  { url }: BucketPlace,
  { waiting }: StagedObjects,
  trouble: Error | undefined,
): void {
  const facts = { bucket: url, packs: waiting.count, bytes: waiting.sizeBytes }
  if (trouble === undefined) log.info('packs are uploaded again', facts)
  else {
    log.warning('packs cannot be uploaded, and wait on the disk', {
      ...facts,
      error: trouble.message,
    })
  }
}
