import { hostname } from 'node:os'
import type { Clock } from '../base/clock.ts'
import { FailedPreconditionError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import type { CloudEnvironment } from '../clouds/bucket.ts'
import { Buckets } from '../clouds/open-buckets.ts'
import { BucketObjectStore } from '../storage/bucket-objects.ts'
import { type OwnerPorts, OwnerWatch } from '../storage/bucket-owner.ts'
import { CachedObjects } from '../storage/cached-objects.ts'
import { LocalObjectStore } from '../storage/local-objects.ts'
import { ObjectCache } from '../storage/object-cache.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { usualRetries } from '../storage/retries.ts'
import { StagedObjects } from '../storage/staged-objects.ts'
import { takeBucket, requireStore } from './bucket/take-bucket.ts'
import { type BucketNote, readBucketNote } from './bucket/bucket-note.ts'
import { type BucketPlace, environmentFor } from './bucket-place.ts'
import type { DataPlaces } from './data-directory.ts'
import type { Log } from './log.ts'

const gib = 1024 ** 3

/** Where the command line says nothing else. */
export const cacheBytesDefault: number = 10 * gib

/** Packs that wait to be uploaded may take this much of the disk before puts wait for them. */
const stagedBytesMax = 8 * gib

/** The objects of a data directory, wherever they are. */
export interface PackPlaces extends AsyncDisposable {
  /** As they really are, for checks. */
  readonly objects: ObjectStore
  /** For all who read them often. */
  readonly near: ObjectStore
  /** Where the packs are, when not in the directory. */
  readonly url?: string
  /** To be called when the packs that are being written have their place. */
  start(): Promise<void>
  /** Packs that are not in the bucket yet. */
  waiting(): { readonly count: number; readonly sizeBytes: number }
}

export interface PackPlacesPorts {
  readonly clock: Clock
  readonly random: Random
  readonly clouds: CloudEnvironment
}

export interface BucketConfig {
  /** Where packs are to be; undefined: where they are, which is the directory at first. */
  readonly bucket?: BucketPlace
  /** Take a bucket over that another server has used since. */
  readonly takesBucket?: boolean
  /** How much of the disk may hold what was read; `cacheBytesDefault`. */
  readonly cacheBytes?: number
}

interface Directory extends DataPlaces {
  readonly store: { readonly id: string }
  /** Notes that a release which knows nothing of buckets must not open it. */
  noteBucket(): Promise<void>
}

/**
 * Opens the objects of a data directory that this process has alone: in the directory, or in a bucket that
 * becomes, or is, its own.
 *
 * @throws {FailedPreconditionError} with advice, when the bucket is not to be used.
 */
export async function openPackPlaces(
  directory: Directory,
  config: BucketConfig,
  ports: PackPlacesPorts & { readonly log: Log },
): Promise<PackPlaces> {
  await using opened = new AsyncDisposableStack()
  const note = await readBucketNote(directory.root)
  const place = placeOf(directory.root, config, note)
  const local = opened.use(await LocalObjectStore.open(directory.objects))
  if (place === undefined) return inDirectory(local, opened.move())
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
  const watch = new OwnerWatch(owner, await takeBucket(taking, owner))
  const remote = new BucketObjectStore({
    ...owner,
    scratchDirectory: directory.scratch,
    beforeChange: (change) => watch.check(change),
  })
  const cacheBytes = config.cacheBytes ?? cacheBytesDefault
  const cache = opened.use(await ObjectCache.open(directory.cache, cacheBytes))
  const staged = opened.use(
    await StagedObjects.open({
      ...ports,
      staged: local,
      remote,
      scratchDirectory: directory.scratch,
      stagedBytesMax,
    }),
  )
  const { log } = ports
  const kept = opened.move()
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
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

/** The same for whoever only looks, and uploads nothing. */
export async function openPackPlacesToCheck(
  places: DataPlaces & { readonly isReadOnly: boolean },
  storeId: string | undefined,
  ports: PackPlacesPorts,
): Promise<PackPlaces> {
  await using opened = new AsyncDisposableStack()
  const local = opened.use(
    places.isReadOnly
      ? LocalObjectStore.openForReading(places.objects)
      : await LocalObjectStore.open(places.objects),
  )
  const note = await readBucketNote(places.root)
  if (note === undefined) return inDirectory(local, opened.move())
  const { place } = note
  const owner = await ownerPorts(place, ports, opened)
  if (storeId !== undefined) await requireStore({ place, store: storeId }, owner)
  const { scratch: scratchDirectory } = places
  const remote = new BucketObjectStore({ ...owner, scratchDirectory })
  const staged = opened.use(
    await StagedObjects.open({ ...ports, staged: local, remote, scratchDirectory, stagedBytesMax }),
  )
  const { url } = place
  return { ...inDirectory(local, opened.move()), objects: staged, near: staged, url }
}

function inDirectory(local: LocalObjectStore, opened: AsyncDisposableStack): PackPlaces {
  return {
    objects: local,
    near: local,
    start: () => Promise.resolve(),
    waiting: () => ({ count: 0, sizeBytes: 0 }),
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

export async function ownerPorts(
  place: BucketPlace,
  { clock, random, clouds }: PackPlacesPorts,
  opened: AsyncDisposableStack,
): Promise<OwnerPorts> {
  const stop = new AbortController()
  opened.defer(() => stop.abort())
  const buckets = opened.use(new Buckets(environmentFor(place, clouds)))
  const bucket = await buckets.openStore(place)
  const { prefix } = place
  return { bucket, prefix, clock, random, retries: usualRetries, signal: stop.signal }
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
