import type { Readable } from 'node:stream'
import type { StoreSettings } from '../base/store-settings.ts'
import type { WaitPorts } from './told-waits.ts'

/** An object of a bucket, as it was when it was looked at. */
export interface CloudObject {
  readonly key: string
  readonly sizeBytes: number
  /** Another one when the object is written again: an ETag, or a generation. */
  readonly version: string
  /** What `write` was told; only `find` knows it. */
  readonly contentHash?: string
}

/** An object to be written. */
export interface NewObject {
  readonly key: string
  readonly sizeBytes: number
  /** Of letters and digits; kept with the object, so that it can be told from others of its size. */
  readonly contentHash: string
  /** Exactly these bytes. May be asked for the same ones again. */
  read(offset: number, length: number): Promise<Uint8Array>
  /** Does one request, and does it again while that may help; missing: once. */
  readonly again?: <Result>(request: () => Promise<Result>) => Promise<Result>
}

/**
 * A bucket of an object store, or a container of Azure's.
 *
 * All throw `NotFoundError`, `PermissionDeniedError`, `UnavailableError` where trying again may help, and
 * other domain errors; in words that name the bucket, and never a secret.
 */
export interface Bucket {
  /** For people, such as `s3://bucket`. */
  readonly name: string
  /** The objects whose keys begin with `prefix`, in the order of their keys. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<CloudObject>
  /** Undefined when there is none. */
  find(key: string, signal: AbortSignal): Promise<CloudObject | undefined>
  /** The bytes of an object from `offset` on. @throws {FailedPreconditionError} when it has changed. */
  read(object: CloudObject, offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>
}

/** A bucket that takes objects. */
export interface WritableBucket extends Bucket {
  /**
   * Writes an object, in the place of one that is there, which stays until all of the new one has come.
   * Holds one part of it: `partBytes`.
   */
  write(object: NewObject, signal: AbortSignal): Promise<void>
  /** As that of a `StoreBucket`. */
  create(key: string, bytes: WholeBytes, signal: AbortSignal): Promise<boolean>
  /** Removes an object; nothing happens when there is none. */
  delete(key: string, signal: AbortSignal): Promise<void>
}

/** Bytes that become an object all at once. */
export interface WholeBytes {
  readonly sizeBytes: number
  /** MD5 of the bytes, which the store compares. */
  readonly md5: Uint8Array
  /** From the first one, each time. */
  readonly open: () => Readable
}

/**
 * A bucket in which a store keeps objects that are made once and never change. `NotFoundError` says of all
 * of its calls that the bucket is not there, or its host; never that an object is not.
 */
export interface StoreBucket extends Bucket {
  /**
   * The bytes from `offset`, `length` of them or as many as there are; undefined when there is no such
   * object. `length` is at least 1.
   */
  readRange(
    key: string,
    range: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array> | undefined>
  /**
   * Makes an object of up to 256 MiB, all at once and by one request, which every store takes; false when one is there, which stays. Where the store knows no such condition, another that comes at the same moment may
   * be written over.
   */
  create(key: string, bytes: WholeBytes, signal: AbortSignal): Promise<boolean>
  /** Writes a few bytes in the place of what is there. */
  replace(key: string, bytes: Uint8Array, signal: AbortSignal): Promise<void>
  /** Nothing happens when there is no such object. */
  delete(key: string, signal: AbortSignal): Promise<void>
}

/** What is at a place of its own. */
export interface Placed {
  /** Where it is asked, for people, as in `https://storage.example.com:9000`; S3 knows it once it was asked. */
  readonly endpoint: string
}

/** A bucket of a store that is somewhere. */
export interface PlacedBucket extends WritableBucket, StoreBucket, Placed {}

/** Under this name the hash is kept with an object; Azure's names are words. */
export const contentHashName = 'pachydermhash'

const smallestPartBytes = 8 * 1024 * 1024

/** What an object is sent in when it is larger; `countMax` is how many parts a store takes. */
export function partBytes(sizeBytes: number, countMax: number): number {
  return Math.max(smallestPartBytes, Math.ceil(sizeBytes / countMax))
}

/** Where a bucket's credentials come from. */
export interface CloudEnvironment {
  readonly variables: Readonly<Record<string, string | undefined>>
  /** Where secrets are mounted, each as a directory; `/` as in 1.5. */
  readonly secretsDirectory: string
  /** What to do when a store refuses them; unset: what the server needs of its own. */
  readonly advice?: string
  /** Who is told of stores that are asked in vain; unset: nobody. */
  readonly waits?: WaitPorts
}

/** The names of a bucket, and what it is in. */
export interface BucketName extends StoreSettings {
  readonly kind: 's3' | 'gcs' | 'azure'
  readonly bucket: string
  /** Of Azure. */
  readonly account?: string
}
