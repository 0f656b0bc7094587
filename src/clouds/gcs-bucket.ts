import { DomainError, FailedPreconditionError } from '../base/errors.ts'
import type { Bucket, CloudEnvironment, CloudObject } from './bucket.ts'
import { cloudError } from './cloud-errors.ts'

const advice =
  "give pachd's environment GOOGLE_APPLICATION_CREDENTIALS with the path of a key file, or run it where a service account is attached"
const scope = 'https://www.googleapis.com/auth/devstorage.read_only'
const publicEndpoint = 'https://storage.googleapis.com'
const pageSize = 1000

/** Who asks for objects of Google Cloud Storage, and where. */
export interface GcsClient {
  readonly endpoint: string
  /** What to send with a request: nothing, for whoever has no credentials. */
  headers(): Promise<Readonly<Record<string, string>>>
}

/** Credentials as Google's own programs find them; without any, it asks as anybody. */
export async function openGcs({ variables }: CloudEnvironment): Promise<GcsClient> {
  const emulator = variables['STORAGE_EMULATOR_HOST'] ?? ''
  if (emulator !== '') {
    const endpoint = /^https?:/.test(emulator) ? emulator : `http://${emulator}`
    return { endpoint: endpoint.replace(/\/+$/, ''), headers: async () => ({}) }
  }
  const { GoogleAuth } = await import('google-auth-library')
  const keyFilename = variables['GOOGLE_APPLICATION_CREDENTIALS'] ?? ''
  const auth = new GoogleAuth({ scopes: [scope], ...(keyFilename !== '' && { keyFilename }) })
  const client = await auth.getClient().catch((error: unknown) => {
    if (keyFilename === '') return undefined
    throw new FailedPreconditionError(
      'the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be used: see that it is a key file of Google Cloud, and that pachd may read it',
      { cause: error },
    )
  })
  return {
    endpoint: publicEndpoint,
    headers: async () =>
      client === undefined ? {} : Object.fromEntries(await client.getRequestHeaders()),
  }
}

interface ListedObject {
  readonly name: string
  /** Numbers come as texts. */
  readonly size: string
  readonly generation: string
}

/** A bucket of Google Cloud Storage, by its JSON API. */
export class GcsBucket implements Bucket {
  readonly name: string
  readonly #client: GcsClient
  readonly #objects: string

  constructor(client: GcsClient, bucket: string) {
    this.name = `gs://${bucket}`
    this.#client = client
    this.#objects = `${client.endpoint}/storage/v1/b/${encodeURIComponent(bucket)}/o`
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
    const url = `${this.#objects}/${encodeURIComponent(key)}?fields=name,size,generation`
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
    more: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    try {
      const headers = { ...(await this.#client.headers()), ...more }
      const answer = await fetch(url, { headers, signal })
      if (answer.ok || expected.includes(answer.status)) return answer
      await answer.body?.cancel()
      throw this.#error(what, answer.status, { signal, cause: undefined })
    } catch (error) {
      if (error instanceof DomainError) throw error
      throw this.#error(what, undefined, { signal, cause: error })
    }
  }

  #error(
    what: string,
    status: number | undefined,
    { signal, cause }: { readonly signal: AbortSignal; readonly cause: unknown },
  ): DomainError {
    const inner = cause instanceof Error ? cause.cause : undefined
    const code =
      inner instanceof Error ? ((inner as NodeJS.ErrnoException).code ?? inner.message) : ''
    return cloudError(what, { status, code }, { credentials: advice, signal, cause })
  }
}

function objectOf({ name, size, generation }: ListedObject): CloudObject {
  return { key: name, sizeBytes: Number(size), version: generation }
}
