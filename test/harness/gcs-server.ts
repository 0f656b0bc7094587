import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { concatBytes } from '../../src/base/bytes.ts'

const pageSize = 1000

/**
 * Answers as the documentation of Google Cloud Storage's JSON API says, since no emulator of it is to be had
 * and the real one is not within reach. It knows one bucket, `bucket`.
 */
export class GcsServer implements AsyncDisposable {
  /** Method of every request that has come, and the object that its path names. */
  readonly requests: string[] = []
  /** What is uploaded to this name is not taken, and nobody is told. */
  held: string | undefined
  readonly #objects = new Map<string, Uint8Array>()
  readonly #metadata = new Map<string, About['metadata']>()
  readonly #server: Server
  /** By address: what has come of an upload, and what it is to be. */
  readonly #uploads = new Map<string, { readonly about: About; readonly parts: Uint8Array[] }>()

  private constructor(server: Server) {
    this.#server = server
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      void this.#answer(request, response)
    })
  }

  static async start(): Promise<GcsServer> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new GcsServer(server)
  }

  get(name: string): Uint8Array | undefined {
    return this.#objects.get(name)
  }

  names(): readonly string[] {
    return [...this.#objects.keys()]
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  put(name: string, bytes: Uint8Array): void {
    this.#objects.set(name, bytes)
  }

  #itemOf(name: string, bytes: Uint8Array): object {
    const md5Hash = createHash('md5').update(bytes).digest('base64')
    const metadata = this.#metadata.get(name)
    return { name, size: String(bytes.length), generation: '17', md5Hash, metadata }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', this.url)
    const match = /^(\/upload)?\/storage\/v1\/b\/([^/]+)\/o(?:\/([^/]+))?$/.exec(url.pathname)
    const [, upload, bucket, name = ''] = match ?? []
    if (bucket !== 'bucket') return void response.writeHead(404).end('No such bucket')
    this.requests.push(`${request.method} ${decodeURIComponent(name)}`)
    if (upload !== undefined) return await this.#upload(request, response, url.searchParams)
    if (name === '') return this.#list(response, url.searchParams)
    const key = decodeURIComponent(name)
    const bytes = this.#objects.get(key)
    if (bytes === undefined) return void response.writeHead(404).end('No such object')
    if (request.method === 'DELETE') {
      this.#objects.delete(key)
      response.writeHead(204).end()
    } else if (url.searchParams.get('alt') === 'media') {
      sendRange(response, bytes, request.headers.range)
    } else response.end(JSON.stringify(this.#itemOf(key, bytes)))
  }

  async #upload(
    request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
  ): Promise<void> {
    let bytes: Uint8Array
    try {
      bytes = concatBytes((await Array.fromAsync(request)) as Uint8Array[])
    } catch {
      return // the caller is gone: nothing is stored
    }
    if (query.get('uploadType') === 'resumable') return this.#begin(response, bytes)
    const id = query.get('upload_id')
    if (id !== null) return this.#take(request, response, { id, bytes })
    const name = query.get('name') ?? ''
    if (query.get('ifGenerationMatch') === '0' && this.#objects.has(name)) {
      return void response.writeHead(412).end()
    }
    const given = /^md5=(.*)$/.exec(String(request.headers['x-goog-hash'] ?? ''))?.[1]
    if (given !== undefined && given !== createHash('md5').update(bytes).digest('base64')) {
      return void response.writeHead(400).end()
    }
    this.#objects.set(name, bytes)
    response.end(JSON.stringify(this.#itemOf(name, bytes)))
  }

  #begin(response: ServerResponse, bytes: Uint8Array): void {
    const about = JSON.parse(Buffer.from(bytes).toString()) as About
    const id = String(this.#uploads.size)
    this.#uploads.set(id, { about, parts: [] })
    const location = `${this.url}/upload/storage/v1/b/bucket/o?upload_id=${id}`
    response.writeHead(200, { location }).end()
  }

  #take(
    request: IncomingMessage,
    response: ServerResponse,
    { id, bytes }: { readonly id: string; readonly bytes: Uint8Array },
  ): void {
    const upload = this.#uploads.get(id)
    const range = String(request.headers['content-range'])
    const [, first, last, total] = /^bytes (?:\*|(\d+)-(\d+))\/(\d+)$/.exec(range) ?? []
    const before = upload?.parts.reduce((sum, part) => sum + part.length, 0)
    const end = last === undefined ? 0 : Number(last) + 1
    const isLast = end === Number(total)
    const isRight = Number(first ?? 0) === before && end - before === bytes.length
    // All parts but the last are multiples of 256 KiB.
    if (upload === undefined || !isRight || (!isLast && bytes.length % 262_144 !== 0)) {
      return void response.writeHead(400).end()
    }
    if (upload.about.name === this.held) return
    upload.parts.push(bytes)
    if (!isLast) return void response.writeHead(308, { range: `bytes=0-${end - 1}` }).end()
    const { name, metadata } = upload.about
    const whole = concatBytes(upload.parts)
    this.#objects.set(name, whole)
    this.#metadata.set(name, metadata)
    response.end(JSON.stringify(this.#itemOf(name, whole)))
  }

  #list(response: ServerResponse, query: URLSearchParams): void {
    const after = query.get('pageToken') ?? ''
    const keys = [...this.#objects.keys()]
      .filter((key) => key.startsWith(query.get('prefix') ?? '') && key > after)
      .toSorted()
    const page = keys.slice(0, pageSize)
    const items = page.map((key) => this.#itemOf(key, this.#objects.get(key) ?? new Uint8Array(0)))
    const next = keys.length > pageSize ? { nextPageToken: page.at(-1) } : {}
    response.end(JSON.stringify({ ...(items.length > 0 && { items }), ...next }))
  }
}

/** What is said of an object as its upload begins. */
interface About {
  readonly name: string
  readonly metadata: Readonly<Record<string, string>>
}

function sendRange(response: ServerResponse, bytes: Uint8Array, range: string | undefined): void {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? []
  if (first === undefined) return void response.end(bytes)
  const start = Number(first)
  if (start >= bytes.length) return void response.writeHead(416).end()
  const end = last === '' ? bytes.length : Math.min(bytes.length, Number(last) + 1)
  response.writeHead(206).end(bytes.subarray(start, end))
}
