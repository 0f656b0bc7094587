import { readFileSync } from 'node:fs'
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import { gunzipSync } from 'node:zlib'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { concatBytes } from '../../src/base/bytes.ts'
import { encodeStatusMessage, writePrefix } from '../../src/base/grpc-wire.ts'
import { InspectCommitRequestSchema, ListCommitRequestSchema } from '../../src/gen/pfs_pb.ts'
import { VersionSchema } from '../../src/gen/version_pb.ts'

interface Line {
  readonly n: number
  readonly method: string
  readonly request: string
  readonly responses?: readonly string[]
  readonly sameResponsesAs?: number
  readonly grpcStatus: number
  readonly grpcMessage?: string | null
}

/** What the recorded server had: by `repo@commit`, then by path. */
export interface Expected {
  readonly ids: Readonly<Record<string, string>>
  readonly serverReportsVersion: string
  readonly files: Readonly<
    Record<string, Readonly<Record<string, { readonly size: number; readonly sha256: string }>>>
  >
}

const prefixBytes = 5

/** A server of an old release, as it was recorded: it answers what it answered, and nothing else. */
export class ReplayedServer implements AsyncDisposable {
  readonly expected: Expected
  /** What was asked for that is not in the record. */
  readonly unknown: string[] = []
  /** The methods of all calls, in order. */
  readonly calls: string[] = []
  /** Called before each answer; true breaks the connection off after the first response's first bytes. */
  breaks: (method: string, count: number) => boolean = () => false
  readonly #answers = new Map<string, Line>()
  readonly #byNumber = new Map<number, Line>()
  readonly #server: Http2Server = createServer()
  readonly #folder: URL

  private constructor(version: string) {
    this.#folder = new URL(`../fixtures/servers/${version}/`, import.meta.url)
    this.expected = JSON.parse(
      readFileSync(new URL('expected.json', this.#folder), 'utf8'),
    ) as Expected
    this.#load('exchange.jsonl.gz')
    this.#load('exchange-large.jsonl.gz')
    this.#server.on('stream', (stream, headers) => {
      stream.on('error', () => undefined)
      const parts: Uint8Array[] = []
      stream.on('data', (part: Uint8Array) => parts.push(part))
      stream.on('end', () => this.#answer(stream, String(headers[':path']), concatBytes(parts)))
    })
  }

  static async start(version: '1.3.18' | '1.3.19'): Promise<ReplayedServer> {
    const server = new ReplayedServer(version)
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve))
    return server
  }

  get address(): string {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? `127.0.0.1:${address.port}` : ''
  }

  /** @throws {Error} when it was asked for something that is not in the record. */
  requireKnown(): void {
    if (this.unknown.length > 0) throw new Error(`not in the record: ${this.unknown.join(', ')}`)
  }

  /** As if it had just been started. */
  reset(): void {
    this.unknown.length = 0
    this.calls.length = 0
    this.breaks = () => false
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #load(name: string): void {
    const text = gunzipSync(readFileSync(new URL(name, this.#folder))).toString()
    for (const row of text.split('\n').filter((part) => part !== '')) {
      const line = JSON.parse(row) as Line
      this.#answers.set(`${line.method} ${line.request}`, line)
      this.#byNumber.set(line.n, line)
    }
  }

  #answer(stream: ServerHttp2Stream, method: string, body: Uint8Array): void {
    this.calls.push(method)
    if (method === '/versionpb.API/GetVersion') {
      const [major = 0, minor = 0, micro = 0] = this.expected.serverReportsVersion
        .split('.')
        .map(Number)
      const version = create(VersionSchema, { major, minor, micro })
      respond(stream, [toBinary(VersionSchema, version)], 0, '')
      return
    }
    const request = Buffer.from(body.subarray(prefixBytes)).toString('base64')
    const line = this.#find(method, body.subarray(prefixBytes))
    if (line === undefined) {
      // Every file that there is, is in the record.
      if (method === '/pfs.API/InspectFile') respond(stream, [], 2, 'file not found')
      else {
        this.unknown.push(`${method} ${request}`)
        respond(stream, [], 12, 'not in the record')
      }
      return
    }
    const responses = this.#responses(line).map((text) => Buffer.from(text, 'base64'))
    if (this.breaks(method, this.calls.length)) breakOff(stream, responses)
    else respond(stream, responses, line.grpcStatus, line.grpcMessage ?? '')
  }

  /** Asked for the head of a branch by its id, the server says the same as when asked for the branch. */
  #find(method: string, request: Uint8Array): Line | undefined {
    const bytes = Buffer.from(request)
    const recorded = this.#answers.get(`${method} ${bytes.toString('base64')}`)
    if (recorded !== undefined) return recorded
    if (method === '/pfs.API/ListCommit') {
      const message = fromBinary(ListCommitRequestSchema, bytes)
      if (message.to !== undefined) message.to.id = this.#branchAt(message.to.id)
      const text = Buffer.from(toBinary(ListCommitRequestSchema, message)).toString('base64')
      return this.#answers.get(`${method} ${text}`)
    }
    if (method !== '/pfs.API/InspectCommit') return undefined
    const message = fromBinary(InspectCommitRequestSchema, bytes)
    const { commit } = message
    if (commit?.repo?.name === 'child') commit.id = this.expected.ids['child'] ?? ''
    else if (commit !== undefined) commit.id = this.#branchAt(commit.id)
    const text = Buffer.from(toBinary(InspectCommitRequestSchema, message)).toString('base64')
    return this.#answers.get(`${method} ${text}`)
  }

  #branchAt(id: string): string {
    const { ids } = this.expected
    if (id === ids['c3']) return 'master'
    return id === ids['d1'] ? 'dev' : id
  }

  #responses({ responses, sameResponsesAs }: Line): readonly string[] {
    if (responses !== undefined) return responses
    const same = this.#byNumber.get(sameResponsesAs ?? 0)
    return same === undefined ? [] : this.#responses(same)
  }
}

function framed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(prefixBytes + message.length)
  writePrefix(frame, 0, message.length)
  frame.set(message, prefixBytes)
  return frame
}

function respond(
  stream: ServerHttp2Stream,
  messages: readonly Uint8Array[],
  status: number,
  message: string,
): void {
  if (stream.destroyed) return
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => {
    stream.sendTrailers({
      'grpc-status': String(status),
      ...(message !== '' && { 'grpc-message': encodeStatusMessage(message) }),
    })
  })
  stream.end(Buffer.concat(messages.map(framed)))
}

/** Sends half of the answer, then ends the connection. */
function breakOff(stream: ServerHttp2Stream, messages: readonly Uint8Array[]): void {
  const all = Buffer.concat(messages.map(framed))
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' })
  stream.write(all.subarray(0, Math.ceil(all.length / 2)), () => stream.session?.destroy())
}
