import { createHash } from 'node:crypto'
import type { BlobServiceClient, ContainerClient } from '@azure/storage-blob'
import { DomainError, PermissionDeniedError } from '../base/errors.ts'
import {
  type CloudEnvironment,
  type CloudObject,
  contentHashName,
  type NewObject,
  type PlacedBucket,
  type WholeBytes,
  partBytes,
} from './bucket.ts'
import { cloudError, type Verb } from './cloud-errors.ts'
import { readSecret } from './mounted-secrets.ts'

const serverAdvice =
  "give pachd's environment AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or mount /microsoft-secret with id and secret"

/** So many blocks may a blob have. */
const blockCountMax = 50_000
/** Whoever reads tries again besides: with the first pause of 4 s that is usual, it would take minutes to give up. */
const patience = { retryOptions: { retryDelayInMs: 500 } } as const

/**
 * A client of an account of Azure Blob Storage, with the credentials that the environment or a mounted
 * secret has for it; without any, it asks as anybody.
 *
 * @throws {PermissionDeniedError} when nothing says which account.
 */
export async function openAzure(
  { variables, secretsDirectory }: CloudEnvironment,
  account?: string,
): Promise<BlobServiceClient> {
  const sdk = await import('@azure/storage-blob')
  const connection = variables['AZURE_STORAGE_CONNECTION_STRING'] ?? ''
  if (connection !== '') {
    const client = sdk.BlobServiceClient.fromConnectionString(connection, patience)
    if (account === undefined || account === client.accountName) return client
  }
  const mounted = await readSecret(secretsDirectory, 'microsoft-secret', ['id', 'secret'])
  const known = variables['AZURE_STORAGE_ACCOUNT'] ?? mounted.id
  const name = account ?? known
  if (name === '') {
    throw new PermissionDeniedError(`cannot reach Azure: no account is known; ${serverAdvice}`)
  }
  const endpoint = variables['AZURE_STORAGE_ENDPOINT'] ?? `https://${name}.blob.core.windows.net`
  // The key of one account is none for another.
  const isOurs = name === known
  const key = isOurs ? (variables['AZURE_STORAGE_KEY'] ?? mounted.secret) : ''
  const token = isOurs ? (variables['AZURE_STORAGE_SAS_TOKEN'] ?? '') : ''
  if (key !== '') {
    const credential = new sdk.StorageSharedKeyCredential(name, key)
    return new sdk.BlobServiceClient(endpoint, credential, patience)
  }
  return new sdk.BlobServiceClient(
    token === '' ? endpoint : `${endpoint}?${token.replace(/^\?/, '')}`,
    undefined,
    patience,
  )
}

/** A container of Azure Blob Storage; `advice` says what to do when it is refused. */
export class AzureBucket implements PlacedBucket {
  readonly name: string
  readonly endpoint: string
  readonly #container: ContainerClient
  readonly #advice: string

  constructor(client: BlobServiceClient, container: string, advice: string = serverAdvice) {
    this.name = `as://${client.accountName}/${container}`
    // What follows may hold a token.
    this.endpoint = new URL(client.url).origin
    this.#container = client.getContainerClient(container)
    this.#advice = advice
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<CloudObject> {
    try {
      for await (const { name, properties } of this.#container.listBlobsFlat({
        prefix,
        abortSignal: signal,
      })) {
        yield { key: name, sizeBytes: properties.contentLength ?? 0, version: properties.etag }
      }
    } catch (error) {
      throw this.#error(this.name, signal, error)
    }
  }

  async find(key: string, signal: AbortSignal): Promise<CloudObject | undefined> {
    try {
      const blob = this.#container.getBlobClient(key)
      const found = await blob.getProperties({ abortSignal: signal })
      const { contentLength = 0, etag = '', metadata = {} } = found
      const contentHash = metadata[contentHashName]
      const object = { key, sizeBytes: contentLength, version: etag }
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
    try {
      const { readableStreamBody } = await this.#container
        .getBlobClient(key)
        .download(offset, undefined, {
          abortSignal: signal,
          conditions: { ifMatch: quoted(version) },
        })
      if (readableStreamBody !== undefined) {
        yield* readableStreamBody as unknown as AsyncIterable<Uint8Array>
      }
    } catch (error) {
      // The end was asked for, or the blob is empty.
      if (statusOf(error) === 416) return
      throw this.#error(`${this.name}/${key}`, signal, error)
    }
  }

  /** In blocks, which become the blob all at once; those that do not are forgotten in a week. */
  async write(object: NewObject, signal: AbortSignal): Promise<void> {
    const { key, sizeBytes, contentHash } = object
    const blob = this.#container.getBlockBlobClient(key)
    const about = { abortSignal: signal, metadata: { [contentHashName]: contentHash } }
    const asked = <Answer>(ask: () => Promise<Answer>): Promise<Answer> =>
      this.#asked(`${this.name}/${key}`, signal, ask)
    const { again } = object
    const request: typeof asked = again === undefined ? asked : (ask) => again(() => asked(ask))
    const step = partBytes(sizeBytes, blockCountMax)
    if (sizeBytes <= step) {
      const bytes = await object.read(0, sizeBytes)
      const options = { ...about, transactionalContentMD5: md5(bytes) }
      await request(() => blob.upload(Buffer.from(bytes), sizeBytes, options))
      return
    }
    const names: string[] = []
    for (let offset = 0; offset < sizeBytes; offset += step) {
      const bytes = await object.read(offset, Math.min(step, sizeBytes - offset))
      const name = blockName(contentHash, names.length)
      const options = { abortSignal: signal, transactionalContentMD5: md5(bytes) }
      await request(() => blob.stageBlock(name, Buffer.from(bytes), bytes.length, options))
      names.push(name)
    }
    await request(() => blob.commitBlockList(names, about))
  }

  async readRange(
    key: string,
    { offset, length }: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    const what = `${this.name}/${key}`
    try {
      const options = { abortSignal: signal }
      const { readableStreamBody } = await this.#container
        .getBlobClient(key)
        .download(offset, length, options)
      return this.#named(readableStreamBody, what, signal)
    } catch (error) {
      if (statusOf(error) === 416) return this.#named(undefined, what, signal)
      if (isNoBlob(error)) return undefined
      throw this.#error(what, signal, error)
    }
  }

  async create(key: string, bytes: WholeBytes, signal: AbortSignal): Promise<boolean> {
    try {
      // By a function, so that the client can begin anew.
      await this.#container.getBlockBlobClient(key).upload(bytes.open, bytes.sizeBytes, {
        abortSignal: signal,
        conditions: { ifNoneMatch: '*' },
        transactionalContentMD5: bytes.md5,
      })
      return true
    } catch (error) {
      const status = statusOf(error)
      if (status === 412 || (status === 409 && codeOf(error) === 'BlobAlreadyExists')) return false
      throw this.#error(`${this.name}/${key}`, signal, error, 'write')
    }
  }

  async replace(key: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    try {
      const blob = this.#container.getBlockBlobClient(key)
      await blob.upload(Buffer.from(bytes), bytes.length, { abortSignal: signal })
    } catch (error) {
      throw this.#error(`${this.name}/${key}`, signal, error, 'write')
    }
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#container.getBlobClient(key).delete({ abortSignal: signal })
    } catch (error) {
      if (isNoBlob(error)) return
      throw this.#error(`${this.name}/${key}`, signal, error, 'delete')
    }
  }

  async *#named(
    bytes: NodeJS.ReadableStream | undefined,
    what: string,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    try {
      if (bytes !== undefined) yield* bytes as unknown as AsyncIterable<Uint8Array>
    } catch (error) {
      throw this.#error(what, signal, error)
    }
  }

  async #asked<Answer>(
    what: string,
    signal: AbortSignal,
    ask: () => Promise<Answer>,
  ): Promise<Answer> {
    try {
      return await ask()
    } catch (error) {
      throw this.#error(what, signal, error, 'write')
    }
  }

  #error(what: string, signal: AbortSignal, cause: unknown, verb: Verb = 'read'): DomainError {
    if (cause instanceof DomainError) return cause
    const failure = { endpoint: this.endpoint, status: statusOf(cause), code: codeOf(cause) }
    return cloudError(what, failure, { credentials: this.#advice, signal, cause, verb })
  }
}

/**
 * All of a blob have one length, of 64 bytes at most. With the hash, blocks of two who write different
 * contents to one blob are not taken for each other's.
 */
function blockName(contentHash: string, index: number): string {
  return Buffer.from(`${contentHash.slice(0, 32)} ${String(index).padStart(6, '0')}`).toString(
    'base64',
  )
}

function md5(bytes: Uint8Array): Uint8Array {
  return createHash('md5').update(bytes).digest()
}

/** Lists have tags without the quotes that conditions need. */
function quoted(tag: string): string {
  return tag.startsWith('"') ? tag : `"${tag}"`
}

function isNoBlob(error: unknown): boolean {
  return statusOf(error) === 404 && codeOf(error) !== 'ContainerNotFound'
}

function codeOf(error: unknown): string {
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' ? code : ''
}

function statusOf(error: unknown): number | undefined {
  const { statusCode } = error as { readonly statusCode?: unknown }
  return typeof statusCode === 'number' ? statusCode : undefined
}
