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
  readonly #objects = new Map<string, Uint8Array>()
  readonly #server: Server

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

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  put(name: string, bytes: Uint8Array): void {
    this.#objects.set(name, bytes)
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
    } else response.end(JSON.stringify(itemOf(key, bytes)))
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
    const name = query.get('name') ?? ''
    if (query.get('ifGenerationMatch') === '0' && this.#objects.has(name)) {
      return void response.writeHead(412).end()
    }
    const given = /^md5=(.*)$/.exec(String(request.headers['x-goog-hash'] ?? ''))?.[1]
    if (given !== undefined && given !== createHash('md5').update(bytes).digest('base64')) {
      return void response.writeHead(400).end()
    }
    this.#objects.set(name, bytes)
    response.end(JSON.stringify(itemOf(name, bytes)))
  }

  #list(response: ServerResponse, query: URLSearchParams): void {
    const after = query.get('pageToken') ?? ''
    const keys = [...this.#objects.keys()]
      .filter((key) => key.startsWith(query.get('prefix') ?? '') && key > after)
      .toSorted()
    const page = keys.slice(0, pageSize)
    const items = page.map((key) => itemOf(key, this.#objects.get(key) ?? new Uint8Array(0)))
    const next = keys.length > pageSize ? { nextPageToken: page.at(-1) } : {}
    response.end(JSON.stringify({ ...(items.length > 0 && { items }), ...next }))
  }
}

function itemOf(name: string, bytes: Uint8Array): object {
  return { name, size: String(bytes.length), generation: '17' }
}

function sendRange(response: ServerResponse, bytes: Uint8Array, range: string | undefined): void {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? []
  if (first === undefined) return void response.end(bytes)
  const start = Number(first)
  if (start >= bytes.length) return void response.writeHead(416).end()
  const end = last === '' ? bytes.length : Math.min(bytes.length, Number(last) + 1)
  response.writeHead(206).end(bytes.subarray(start, end))
}
