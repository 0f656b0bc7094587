import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { CloudEnvironment } from '../clouds/bucket.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { BucketPlace } from './bucket-place.ts'
import type { DataPlaces } from './data-directory.ts'

const gib = 1024 ** 3

/** Where the command line says nothing else. */
export const cacheBytesDefault: number = 10 * gib

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
  /** Resolves when there are none. @throws what uploads fail with. */
  uploaded(): Promise<void>
}

export interface PackPlacesPorts {
  readonly clock: Clock
  readonly random: Random
  readonly clouds: CloudEnvironment
  /** Ends a look at the bucket that opening takes. */
  readonly giveUp?: AbortSignal
}

export interface BucketConfig {
  /** Where packs are to be; undefined: where they are, which is the directory at first. */
  readonly bucket?: BucketPlace
  /** Take a bucket over that another server has used since. */
  readonly takesBucket?: boolean
  /** How much of the disk may hold what was read; `cacheBytesDefault`. */
  readonly cacheBytes?: number
}

/** A data directory that this process has alone. */
export interface OwnDirectory extends DataPlaces {
  readonly store: { readonly id: string }
  /** Notes that a release which knows nothing of buckets must not open it. */
  noteBucket(): Promise<void>
}
