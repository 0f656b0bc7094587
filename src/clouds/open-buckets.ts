import { assert, UnimplementedError } from '../base/errors.ts'
import type { Bucket, BucketName, CloudEnvironment, StoreBucket, WritableBucket } from './bucket.ts'

/** Opens buckets; those of one account share a client, and nothing is loaded before it is needed. */
export class Buckets implements Disposable {
  readonly #environment: CloudEnvironment
  readonly #opened = new DisposableStack()
  readonly #clients = new Map<string, Promise<(bucket: string) => Bucket>>()

  constructor(environment: CloudEnvironment) {
    this.#environment = environment
  }

  async open({ kind, bucket, account }: BucketName): Promise<Bucket> {
    const key = `${kind} ${account ?? ''}`
    const known = this.#clients.get(key)
    const client = known ?? this.#client(kind, account)
    this.#clients.set(key, client)
    return (await client)(bucket)
  }

  /** @throws {UnimplementedError} for Google's, with the way that there is. */
  async openToWrite(name: BucketName): Promise<WritableBucket> {
    // Before anybody looks for credentials.
    requireWritable(name)
    const bucket = await this.open(name)
    assert(isWritable(bucket), `buckets of ${name.kind} can be written to`)
    return bucket
  }

  /** A bucket to keep objects in, with permission to change it. */
  async openStore({ kind, bucket, account }: BucketName): Promise<StoreBucket> {
    switch (kind) {
      case 's3': {
        const { openS3, S3Bucket } = await import('./s3-bucket.ts')
        const client = await openS3(this.#environment)
        this.#opened.defer(() => client.destroy())
        return new S3Bucket(client, bucket)
      }
      case 'gcs': {
        const { GcsBucket, openGcs } = await import('./gcs-bucket.ts')
        return new GcsBucket(await openGcs(this.#environment, 'change'), bucket)
      }
      case 'azure': {
        const { AzureBucket, openAzure } = await import('./azure-bucket.ts')
        return new AzureBucket(await openAzure(this.#environment, account), bucket)
      }
    }
  }

  [Symbol.dispose](): void {
    this.#opened.dispose()
  }

  async #client(
    kind: BucketName['kind'],
    account: string | undefined,
  ): Promise<(bucket: string) => Bucket> {
    switch (kind) {
      case 's3': {
        const { openS3, S3Bucket } = await import('./s3-bucket.ts')
        const client = await openS3(this.#environment)
        this.#opened.defer(() => client.destroy())
        return (bucket) => new S3Bucket(client, bucket)
      }
      case 'gcs': {
        const { GcsBucket, openGcs } = await import('./gcs-bucket.ts')
        const client = await openGcs(this.#environment)
        return (bucket) => new GcsBucket(client, bucket)
      }
      case 'azure': {
        const { AzureBucket, openAzure } = await import('./azure-bucket.ts')
        const client = await openAzure(this.#environment, account)
        return (bucket) => new AzureBucket(client, bucket)
      }
    }
  }
}

/** @throws {UnimplementedError} for Google's, with the way that there is. */
export function requireWritable({ kind, bucket }: BucketName): void {
  if (kind !== 'gcs') return
  throw new UnimplementedError(
    `cannot write to the bucket ${bucket}: Google Cloud Storage is written to by its S3-compatible API: name it s3://${bucket}, and give pachd's environment AWS_ENDPOINT_URL=https://storage.googleapis.com and an HMAC key of Google's as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`,
  )
}

function isWritable(bucket: Bucket): bucket is WritableBucket {
  return 'write' in bucket
}
