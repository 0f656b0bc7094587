import { DomainError, FailedPreconditionError } from '../base/errors.ts'
import {
  type CloudEnvironment,
  type CloudObject,
  contentHashName,
  type NewObject,
  type PlacedBucket,
  type WholeBytes,
} from './bucket.ts'
import { type GcsAnswer, writeGcsObject } from './gcs-writes.ts'
import { type CloudFailure, cloudError, type Verb } from './cloud-errors.ts'

const serverAdvice =
  "give pachd's environment GOOGLE_APPLICATION_CREDENTIALS with the path of a key file, or run it where a service account is attached"
const scopes = {
  read: 'https://www.googleapis.com/auth/devstorage.read_only',
  change: 'https://www.googleapis.com/auth/devstorage.read_write',
} as const
const publicEndpoint = 'https://storage.googleapis.com'
const pageSize = 1000

/** Who asks for objects of Google Cloud Storage, and where. */
export interface GcsClient {
  readonly endpoint: string
  /** What to send with a request: nothing, for whoever has no credentials. */
  headers(): Promise<Readonly<Record<string, string>>>
}

/** Credentials as Google's own programs find them; without any, it asks as anybody. */
export async function openGcs(
  { variables }: CloudEnvironment,
  use: keyof typeof scopes = 'read',
): Promise<GcsClient> {
  const emulator = variables['STORAGE_EMULATOR_HOST'] ?? ''
  if (emulator !== '') {
    const endpoint = /^https?:/.test(emulator) ? emulator : `http://${emulator}`
    return { endpoint: endpoint.replace(/\/+$/, ''), headers: async () => ({}) }
  }
  const { GoogleAuth, JWT } = await import('google-auth-library')
  const keyText = variables['GOOGLE_CREDENTIALS'] ?? ''
  if (keyText !== '') {
    const { client_email: email, private_key: key } = serviceAccountKey(keyText)
    return publicClient(new JWT({ email, key, scopes: [scopes[use]] }))
  }
  const keyFilename = variables['GOOGLE_APPLICATION_CREDENTIALS'] ?? ''
  const auth = new GoogleAuth({ scopes: [scopes[use]], ...(keyFilename !== '' && { keyFilename }) })
  const client = await auth.getClient().catch((error: unknown) => {
    if (keyFilename === '') return undefined
    throw new FailedPreconditionError(
      'the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be used: see that it is a key file of Google Cloud, and that pachd may read it',
      { cause: error },
    )
  })
  return publicClient(client)
}

function publicClient(client: { getRequestHeaders(): Promise<Headers> } | undefined): GcsClient {
  return {
    endpoint: publicEndpoint,
    headers: async () =>
      client === undefined ? {} : Object.fromEntries(await client.getRequestHeaders()),
  }
}

/**
 * The key of a service account, and nothing else: other kinds of key files name files to read and addresses
 * to ask, and this one may have come from a caller.
 *
 * @throws {FailedPreconditionError}
 */
export function serviceAccountKey(text: string): {
  readonly client_email: string
  readonly private_key: string
} {
  const key = parsedKey(text)
  const { type, client_email, private_key } = key
  if (
    type !== 'service_account' ||
    typeof client_email !== 'string' ||
    typeof private_key !== 'string'
  ) {
    throw new FailedPreconditionError(
      'GOOGLE_CREDENTIALS is not the text of the key file of a service account, as the console of Google Cloud makes it (JSON)',
    )
  }
  return { client_email, private_key }
}

function parsedKey(text: string): Readonly<Record<string, unknown>> {
  try {
    const key: unknown = JSON.parse(text)
    return typeof key === 'object' && key !== null ? { ...key } : {}
  } catch {
    return {} // its text would be in the error
  }
}

interface ListedObject {
  readonly name: string
  /** Numbers come as texts. */
  readonly size: string
  readonly generation: string
  readonly metadata?: Readonly<Record<string, string>>
}

interface Ask {
  readonly what: string
  readonly signal: AbortSignal
  /** Statuses that are answers, too. */
  readonly expected?: readonly number[]
  readonly headers?: Readonly<Record<string, string>>
  readonly verb?: Verb
  /** Where the verb does not say it. */
  readonly method?: 'PUT'
  readonly body?: AsyncIterable<Uint8Array> | Uint8Array
}

/** A bucket of Google Cloud Storage, by its JSON API; `advice` says what to do when it is refused. */
export class GcsBucket implements PlacedBucket {
  readonly name: string
  readonly endpoint: string
  readonly #client: GcsClient
  readonly #objects: string
  readonly #uploads: string
  readonly #advice: string

  constructor(client: GcsClient, bucket: string, advice: string = serverAdvice) {
    this.name = `gs://${bucket}`
    this.endpoint = client.endpoint
    this.#client = client
    this.#advice = advice
    const below = `storage/v1/b/${encodeURIComponent(bucket)}/o`
    this.#objects = `${client.endpoint}/${below}`
    this.#uploads = `${client.endpoint}/upload/${below}`
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<CloudObject> {
    for (let token = ''; ;) {
      const query = new URLSearchParams({
        prefix,
        maxResults: String(pageSize),
        fields: 'items(name,size,generation),nextPageToken',
        ...(token !== '' && { pageToken: token }),
      })
      const answer = await this.#get(`${this.#objects}?${query.toString()}`, this.name, signal)
      const page = (await answer.json()) as {
        readonly items?: readonly ListedObject[]
        readonly nextPageToken?: string
      }
      for (const item of page.items ?? []) yield objectOf(item)
      token = page.nextPageToken ?? ''
      if (token === '') return
    }
  }

  async find(key: string, signal: AbortSignal): Promise<CloudObject | undefined> {
    const url = `${this.#objects}/${encodeURIComponent(key)}?fields=name,size,generation,metadata`
    const answer = await this.#get(url, `${this.name}/${key}`, signal, [404])
    if (answer.status === 404) return undefined
    return objectOf((await answer.json()) as ListedObject)
  }

  async *read(
    { key, version }: CloudObject,
    offset: number,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const what = `${this.name}/${key}`
    const query = new URLSearchParams({ alt: 'media', generation: version })
    const url = `${this.#objects}/${encodeURIComponent(key)}?${query.toString()}`
    const range: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {}
    const answer = await this.#get(url, what, signal, [416], range)
    if (answer.status === 416) return
    if (offset > 0 && answer.status !== 206) {
      throw new FailedPreconditionError(
        `cannot go on reading ${what}: ranges are not answered there`,
      )
    }
    yield* this.#bytes(answer, what, signal)
  }

  async readRange(
    key: string,
    { offset, length }: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    const what = `${this.name}/${key}`
    const url = `${this.#url(key)}?alt=media`
    const headers = { range: `bytes=${offset}-${offset + length - 1}` }
    const answer = await this.#ask(url, { what, signal, expected: [404, 416], headers })
    if (answer.status !== 404 && answer.status !== 416) return this.#bytes(answer, what, signal)
    await answer.body?.cancel()
    if (answer.status === 416) return none()
    await this.#requireBucket(signal)
    return undefined
  }

  async write(object: NewObject, signal: AbortSignal): Promise<void> {
    const what = `${this.name}/${object.key}`
    const ask = { what, signal, verb: 'write' } as const
    const begin = async (about: object): Promise<string> => {
      const headers = { 'content-type': 'application/json' }
      const body = Buffer.from(JSON.stringify(about))
      const answer = await this.#ask(`${this.#uploads}?uploadType=resumable`, {
        ...ask,
        headers,
        body,
      })
      await answer.body?.cancel()
      return answer.headers.get('location') ?? ''
    }
    const send = async (
      address: string,
      { range, bytes }: { readonly range: string; readonly bytes: Uint8Array },
    ): Promise<GcsAnswer> => {
      const headers = { 'content-range': range }
      const answer = await this.#ask(address, {
        ...ask,
        method: 'PUT',
        headers,
        body: bytes,
        expected: [308],
      })
      if (answer.status === 308) {
        await answer.body?.cancel()
        return { kind: 'more', range: answer.headers.get('range') ?? undefined }
      }
      const { md5Hash } = (await answer.json()) as { readonly md5Hash?: string }
      return { kind: 'done', md5Hash }
    }
    await writeGcsObject({ begin, send }, object, what)
  }

  async create(key: string, bytes: WholeBytes, signal: AbortSignal): Promise<boolean> {
    // What is only there when it is not is generation 0.
    const query = { uploadType: 'media', name: key, ifGenerationMatch: '0' }
    const body = bytes.open()
    const what = `${this.name}/${key}`
    const answer = await this.#ask(`${this.#uploads}?${new URLSearchParams(query).toString()}`, {
      what,
      signal,
      expected: [412],
      verb: 'write',
      headers: { 'x-goog-hash': `md5=${Buffer.from(bytes.md5).toString('base64')}` },
      body,
    }).finally(() => body.destroy())
    await answer.body?.cancel()
    return answer.status !== 412
  }

  async replace(key: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    const query = new URLSearchParams({ uploadType: 'media', name: key })
    const what = `${this.name}/${key}`
    const write = { what, signal, verb: 'write', body: Buffer.from(bytes) } as const
    const answer = await this.#ask(`${this.#uploads}?${query.toString()}`, write)
    await answer.body?.cancel()
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    const what = `${this.name}/${key}`
    const ask = { what, signal, expected: [404], verb: 'delete' } as const
    const answer = await this.#ask(this.#url(key), ask)
    await answer.body?.cancel()
    if (answer.status === 404) await this.#requireBucket(signal)
  }

  /** Of an object that is not found Google does not say whether its bucket is there. */
  async #requireBucket(signal: AbortSignal): Promise<void> {
    const url = `${this.#objects}?maxResults=1&fields=nextPageToken`
    const answer = await this.#get(url, this.name, signal)
    await answer.body?.cancel()
  }

  #url(key: string): string {
    return `${this.#objects}/${encodeURIComponent(key)}`
  }

  async *#bytes(answer: Response, what: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      if (answer.body !== null) yield* answer.body as unknown as AsyncIterable<Uint8Array>
    } catch (error) {
      throw this.#error(what, undefined, { signal, cause: error })
    }
  }

  async #get(
    url: string,
    what: string,
    signal: AbortSignal,
    expected: readonly number[] = [],
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    return await this.#ask(url, { what, signal, expected, headers })
  }

  async #ask(
    url: string,
    { what, signal, expected = [], headers = {}, verb = 'read', method, body }: Ask,
  ): Promise<Response> {
    try {
      const answer = await fetch(url, {
        method: method ?? { read: 'GET', write: 'POST', delete: 'DELETE' }[verb],
        // 308 says that more is to come.
        redirect: 'manual',
        headers: { ...(await this.#client.headers()), ...headers },
        signal,
        ...(body !== undefined && { body, duplex: 'half' as const }),
      })
      if (answer.ok || expected.includes(answer.status)) return answer
      await answer.body?.cancel()
      throw this.#error(what, answer.status, { signal, cause: undefined, verb })
    } catch (error) {
      if (error instanceof DomainError) throw error
      throw this.#error(what, undefined, { signal, cause: error, verb })
    }
  }

  #error(
    what: string,
    status: number | undefined,
    {
      signal,
      cause,
      verb = 'read',
    }: { readonly signal: AbortSignal; readonly cause: unknown; readonly verb?: Verb },
  ): DomainError {
    const failure = status === undefined ? failureOf(cause) : { status, code: '' }
    const { endpoint } = this
    return cloudError(
      what,
      { ...failure, endpoint },
      { credentials: this.#advice, signal, cause, verb },
    )
  }
}

/** What kept a request from an answer: the connection, or what should have said who asks. */
function failureOf(cause: unknown): Omit<CloudFailure, 'endpoint'> {
  if (!(cause instanceof Error)) return { status: undefined, code: '' }
  const { code = '', status } = cause as Error & {
    readonly code?: unknown
    readonly status?: unknown
  }
  // Google gives no token for them.
  if (typeof status === 'number') return { status, code: '' }
  if (String(code).startsWith('ERR_OSSL')) {
    return { status: undefined, code: 'the key of the credentials cannot be used' }
  }
  const inner = cause.cause
  return {
    status: undefined,
    code: inner instanceof Error ? ((inner as NodeJS.ErrnoException).code ?? inner.message) : '',
  }
}

function objectOf({ name, size, generation, metadata }: ListedObject): CloudObject {
  const object = { key: name, sizeBytes: Number(size), version: generation }
  const contentHash = metadata?.[contentHashName]
  return contentHash === undefined ? object : { ...object, contentHash }
}

async function* none(): AsyncGenerator<Uint8Array> {
  // The end was asked for, or what lies behind it.
}
