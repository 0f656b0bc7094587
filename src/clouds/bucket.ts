/** An object of a bucket, as it was when it was looked at. */
export interface CloudObject {
  readonly key: string
  readonly sizeBytes: number
  /** Another one when the object is written again: an ETag, or a generation. */
  readonly version: string
}

/**
 * A bucket of an object store, or a container of Azure's, as far as it is read.
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

/** Where a bucket's credentials come from. */
export interface CloudEnvironment {
  readonly variables: Readonly<Record<string, string | undefined>>
  /** Where secrets are mounted, each as a directory; `/` as in 1.5. */
  readonly secretsDirectory: string
}

/** The names of a bucket, and what it is in. */
export interface BucketName {
  readonly kind: 's3' | 'gcs' | 'azure'
  readonly bucket: string
  /** Of Azure. */
  readonly account?: string
}
