import type { Readable } from 'node:stream'

/** An object of a bucket. */
export interface BucketObject {
  readonly key: string
  readonly sizeBytes: number
}

/** What becomes an object, with the MD5 of its bytes, which the other side compares. */
export interface BucketBytes {
  readonly sizeBytes: number
  readonly md5: Uint8Array
  /** From the first one, each time. */
  readonly open: () => Readable
}

/**
 * What this layer asks of a bucket of S3, Google's or Azure's. Throws `UnavailableError` where trying again
 * may help, and `NotFoundError` only when the bucket itself, or its host, is not there.
 */
export interface ObjectBucket {
  /** For people, such as `s3://bucket`. */
  readonly name: string
  /** The objects whose keys begin with `prefix`, in byte order of their keys. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<BucketObject>
  /** Undefined when there is none. */
  find(key: string, signal: AbortSignal): Promise<BucketObject | undefined>
  /** Bytes from `offset`, at most `length`, which is at least 1; undefined when there is no such object. */
  readRange(
    key: string,
    range: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array> | undefined>
  /** Makes an object, whole and by one request; false when one is there, which stays. */
  create(key: string, bytes: BucketBytes, signal: AbortSignal): Promise<boolean>
  /** Writes a few bytes in the place of what is there. */
  replace(key: string, bytes: Uint8Array, signal: AbortSignal): Promise<void>
  delete(key: string, signal: AbortSignal): Promise<void>
}
