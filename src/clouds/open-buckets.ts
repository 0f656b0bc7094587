import type { StoreSettings } from '../base/store-settings.ts'
import type {
  Bucket,
  BucketName,
  CloudEnvironment,
  Placed,
  PlacedBucket,
  StoreBucket,
  WritableBucket,
} from './bucket.ts'
import { ToldBucket } from './told-bucket.ts'

/** Google's credentials are asked for one of these. */
type Use = 'read' | 'change'

/** Opens buckets; those of one account share a client, and nothing is loaded before it is needed. */
export class Buckets implements Disposable {
  readonly #environment: CloudEnvironment
  readonly #opened = new DisposableStack()
  readonly #clients = new Map<string, Promise<(bucket: string) => PlacedBucket>>()

  constructor(environment: CloudEnvironment) {
    this.#environment = environment
  }

  async open(name: BucketName): Promise<Bucket> {
    return await this.#open(name, 'read')
  }

  async openToWrite(name: BucketName): Promise<WritableBucket & Placed> {
    return await this.#open(name, 'change')
  }

  async #open(name: BucketName, use: Use): Promise<PlacedBucket> {
    const { bucket, kind, account = '', endpoint = '', region = '' } = name
    const key = `${kind} ${use} ${account} ${endpoint} ${region}`
    const known = this.#clients.get(key)
    const client = known ?? this.#client(name, use)
    this.#clients.set(key, client)
    return (await client)(bucket)
  }

  /** A bucket to keep objects in, with permission to change it. */
  async openStore(name: BucketName): Promise<StoreBucket> {
    return (await this.#client(name, 'change'))(name.bucket)
  }

  [Symbol.dispose](): void {
    this.#opened.dispose()
  }

  async #client(name: BucketName, use: Use): Promise<(bucket: string) => PlacedBucket> {
    const open = await this.#access(name, use)
    const { waits } = this.#environment
    return waits === undefined ? open : (bucket) => new ToldBucket(open(bucket), waits)
  }

  async #access(name: BucketName, use: Use): Promise<(bucket: string) => PlacedBucket> {
    const { kind, account } = name
    const { advice } = this.#environment
    switch (kind) {
      case 's3': {
        const { openS3, S3Bucket } = await import('./s3-bucket.ts')
        const access = await openS3(environmentFor(name, this.#environment))
        this.#opened.defer(() => access.client.destroy())
        return (bucket) => new S3Bucket(access, bucket, advice)
      }
      case 'gcs': {
        const { GcsBucket, openGcs } = await import('./gcs-bucket.ts')
        const client = await openGcs(this.#environment, use)
        return (bucket) => new GcsBucket(client, bucket, advice)
      }
      case 'azure': {
        const { AzureBucket, openAzure } = await import('./azure-bucket.ts')
        const client = await openAzure(this.#environment, account)
        return (bucket) => new AzureBucket(client, bucket, advice)
      }
    }
  }
}

/** What a bucket's name says of its store wins over the environment. */
export function environmentFor(
  { endpoint, region }: StoreSettings,
  environment: CloudEnvironment,
): CloudEnvironment {
  const variables = {
    ...environment.variables,
    ...(endpoint !== undefined && { AWS_ENDPOINT_URL_S3: endpoint }),
    ...(region !== undefined && { AWS_REGION: region }),
  }
  return { ...environment, variables }
}
