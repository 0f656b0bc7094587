import type * as AwsS3 from '@aws-sdk/client-s3'
import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3'
import { DomainError } from '../base/errors.ts'
import {
  type CloudEnvironment,
  type CloudObject,
  contentHashName,
  type NewObject,
  type PlacedBucket,
  type WholeBytes,
} from './bucket.ts'
import { cloudError, type Verb } from './cloud-errors.ts'
import { readSecret } from './mounted-secrets.ts'
import { createS3Object } from './s3-creates.ts'
import { writeS3Object } from './s3-writes.ts'

type Sdk = typeof AwsS3

const serverAdvice =
  "give pachd's environment AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a profile in ~/.aws), or mount /amazon-secret with id, secret and region"
const defaultRegion = 'us-east-1'

/** A client, and what it is asked through. */
export interface S3Access {
  readonly client: S3Client
  readonly connections: { readonly endpoint: string | undefined }
}

/**
 * A client of S3, or of what is like it, that reads credentials where AWS's own programs do, and else the
 * secrets that 1.5 mounts; without any, it asks as anybody.
 */
export async function openS3(environment: CloudEnvironment): Promise<S3Access> {
  const sdk = await import('@aws-sdk/client-s3')
  const { S3Connections } = await import('./s3-connections.ts')
  const connections = new S3Connections()
  const config = { ...(await configOf(environment)), requestHandler: connections }
  const client = new sdk.S3Client(config)
  if (config.credentials !== undefined || (await hasCredentials(client))) {
    return { client, connections }
  }
  client.destroy()
  // Public buckets take requests that nobody has signed; the client insists on having something to sign with.
  const credentials = { accessKeyId: 'anybody', secretAccessKey: 'anybody' }
  const signer: S3ClientConfig['signer'] = { sign: async (request) => request }
  return { client: new sdk.S3Client({ ...config, credentials, signer }), connections }
}

async function hasCredentials(client: S3Client): Promise<boolean> {
  try {
    await client.config.credentials()
    return true
  } catch {
    return false
  }
}

async function configOf({
  variables,
  secretsDirectory,
}: CloudEnvironment): Promise<S3ClientConfig> {
  const amazon = await readSecret(secretsDirectory, 'amazon-secret', [
    'id',
    'secret',
    'token',
    'region',
  ])
  const minio = await readSecret(secretsDirectory, 'minio-secret', [
    'id',
    'secret',
    'endpoint',
    'secure',
  ])
  const id = variables['AWS_ACCESS_KEY_ID'] ?? ''
  const found =
    id !== ''
      ? {
          id,
          secret: variables['AWS_SECRET_ACCESS_KEY'] ?? '',
          token: variables['AWS_SESSION_TOKEN'] ?? '',
        }
      : [amazon, { ...minio, token: '' }].find((secret) => secret.id !== '')
  const scheme = minio.secure === '1' ? 'https' : 'http'
  const endpoint =
    variables['AWS_ENDPOINT_URL_S3'] ??
    variables['AWS_ENDPOINT_URL'] ??
    (found?.id === minio.id && minio.endpoint !== '' ? `${scheme}://${minio.endpoint}` : undefined)
  const region = [
    variables['AWS_REGION'],
    variables['AWS_DEFAULT_REGION'],
    amazon.region,
    defaultRegion,
  ]
  return {
    region: region.find((name) => name !== undefined && name !== '') ?? defaultRegion,
    // What is not AWS's seldom has a name for each bucket.
    ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
    ...(found !== undefined && {
      credentials: {
        accessKeyId: found.id,
        secretAccessKey: found.secret,
        ...(found.token !== '' && { sessionToken: found.token }),
      },
    }),
    followRegionRedirects: true,
    logger: silence,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  }
}

/** What it says of requests that it cannot repeat, this program repeats. */
const silence = { debug: ignore, info: ignore, warn: ignore, error: ignore, trace: ignore }

function ignore(): void {
  // Errors are thrown as well, with a name.
}

/**
 * A bucket of S3; the client is the caller's, and serves any number of them. `advice` says what to do when it is
 * refused.
 */
export class S3Bucket implements PlacedBucket {
  readonly name: string
  readonly #client: S3Client
  readonly #connections: S3Access['connections']
  readonly #bucket: string
  readonly #advice: string
  #sdk: Promise<Sdk> | undefined
  /** False once it has said that it cannot make what is not there only. */
  #takesConditions = true

  constructor({ client, connections }: S3Access, bucket: string, advice: string = serverAdvice) {
    this.name = `s3://${bucket}`
    this.#client = client
    this.#connections = connections
    this.#bucket = bucket
    this.#advice = advice
  }

  get endpoint(): string {
    return this.#connections.endpoint ?? 'the endpoint of S3'
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<CloudObject> {
    const { ListObjectsV2Command } = await this.#load()
    for (let token: string | undefined; ;) {
      const input = {
        Bucket: this.#bucket,
        Prefix: prefix,
        ...(token !== undefined && { ContinuationToken: token }),
      }
      const page = await this.#asked(this.name, signal, () =>
        this.#client.send(new ListObjectsV2Command(input), { abortSignal: signal }),
      )
      for (const { Key = '', Size = 0, ETag = '' } of page.Contents ?? []) {
        yield { key: Key, sizeBytes: Size, version: ETag }
      }
      token = page.NextContinuationToken
      if (page.IsTruncated !== true || token === undefined) return
    }
  }

  async find(key: string, signal: AbortSignal): Promise<CloudObject | undefined> {
    const { HeadObjectCommand } = await this.#load()
    const command = new HeadObjectCommand({ Bucket: this.#bucket, Key: key })
    try {
      const found = await this.#client.send(command, { abortSignal: signal })
      const { ContentLength = 0, ETag = '', Metadata = {} } = found
      const contentHash = Metadata[contentHashName]
      const object = { key, sizeBytes: ContentLength, version: ETag }
      return contentHash === undefined ? object : { ...object, contentHash }
    } catch (error) {
      if (statusOf(error) === 404) return undefined
      throw this.#error(`${this.name}/${key}`, signal, error)
    }
  }

  async *read(
    { key, version }: CloudObject,
    offset: number,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const { GetObjectCommand } = await this.#load()
    const what = `${this.name}/${key}`
    const input = {
      Bucket: this.#bucket,
      Key: key,
      IfMatch: version,
      ...(offset > 0 && { Range: `bytes=${offset}-` }),
    }
    try {
      const { Body } = await this.#client.send(new GetObjectCommand(input), { abortSignal: signal })
      if (Body !== undefined) yield* Body as AsyncIterable<Uint8Array>
    } catch (error) {
      // The end was asked for, and there is nothing behind it.
      if (statusOf(error) === 416 && offset > 0) return
      throw this.#error(what, signal, error)
    }
  }

  async write(object: NewObject, signal: AbortSignal): Promise<void> {
    const name = `${this.name}/${object.key}`
    const asked = <Answer>(ask: () => Promise<Answer>): Promise<Answer> =>
      this.#asked(name, signal, ask, 'write')
    const { again } = object
    await writeS3Object(this.#client, await this.#load(), {
      name,
      bucket: this.#bucket,
      object,
      signal,
      request: again === undefined ? asked : (ask) => again(() => asked(ask)),
    })
  }

  async readRange(
    key: string,
    { offset, length }: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    const { GetObjectCommand } = await this.#load()
    const what = `${this.name}/${key}`
    const Range = `bytes=${offset}-${offset + length - 1}`
    const command = new GetObjectCommand({ Bucket: this.#bucket, Key: key, Range })
    try {
      const { Body } = await this.#client.send(command, { abortSignal: signal })
      return this.#named(Body as AsyncIterable<Uint8Array> | undefined, what, signal)
    } catch (error) {
      if (statusOf(error) === 416) return this.#named(undefined, what, signal)
      if (isNoObject(error)) return undefined
      throw this.#error(what, signal, error)
    }
  }

  async create(key: string, bytes: WholeBytes, signal: AbortSignal): Promise<boolean> {
    const what = `${this.name}/${key}`
    const object = { bucket: this.#bucket, key, bytes, signal }
    try {
      if (this.#takesConditions) {
        return await createS3Object(this.#client, await this.#load(), object, { ifAbsent: true })
      }
    } catch (error) {
      // Google's S3 knows no such condition.
      if (statusOf(error) !== 501) throw this.#error(what, signal, error, 'write')
      this.#takesConditions = false
    }
    if ((await this.find(key, signal)) !== undefined) return false
    try {
      return await createS3Object(this.#client, await this.#load(), object, { ifAbsent: false })
    } catch (error) {
      throw this.#error(what, signal, error, 'write')
    }
  }

  async replace(key: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    const { PutObjectCommand } = await this.#load()
    const command = new PutObjectCommand({ Bucket: this.#bucket, Key: key, Body: bytes })
    const what = `${this.name}/${key}`
    await this.#asked(
      what,
      signal,
      () => this.#client.send(command, { abortSignal: signal }),
      'write',
    )
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    const { DeleteObjectCommand } = await this.#load()
    const command = new DeleteObjectCommand({ Bucket: this.#bucket, Key: key })
    const what = `${this.name}/${key}`
    await this.#asked(
      what,
      signal,
      () => this.#client.send(command, { abortSignal: signal }),
      'delete',
    )
  }

  async *#named(
    bytes: AsyncIterable<Uint8Array> | undefined,
    what: string,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    try {
      if (bytes !== undefined) yield* bytes
    } catch (error) {
      throw this.#error(what, signal, error)
    }
  }

  #load(): Promise<Sdk> {
    this.#sdk ??= import('@aws-sdk/client-s3')
    return this.#sdk
  }

  async #asked<Answer>(
    what: string,
    signal: AbortSignal,
    ask: () => Promise<Answer>,
    verb: Verb = 'read',
  ): Promise<Answer> {
    try {
      return await ask()
    } catch (error) {
      throw this.#error(what, signal, error, verb)
    }
  }

  #error(what: string, signal: AbortSignal, cause: unknown, verb: Verb = 'read'): DomainError {
    if (cause instanceof DomainError) return cause
    const code = cause instanceof Error ? cause.name : ''
    const said = knownCode(code === 'Error' || code === 'TimeoutError' ? systemCodeOf(cause) : code)
    const failure = { endpoint: this.endpoint, status: statusOf(cause), code: said }
    return cloudError(what, failure, { credentials: this.#advice, signal, cause, verb })
  }
}

/** The client says of connections that break, too, that the time was up: the system's code tells them apart. */
function systemCodeOf(cause: unknown): string {
  const { code, name } = cause as NodeJS.ErrnoException
  return code ?? (name === 'Error' ? '' : name)
}

/** What answers without a body call themselves, says nothing: their status does. */
function knownCode(code: string): string {
  return code === 'Unknown' || code === 'UnknownError' ? '' : code
}

/** Of a bucket that is not there, the store says so. */
function isNoObject(error: unknown): boolean {
  return statusOf(error) === 404 && !(error instanceof Error && error.name === 'NoSuchBucket')
}

function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined
  return (error.$metadata as { readonly httpStatusCode?: number }).httpStatusCode
}
