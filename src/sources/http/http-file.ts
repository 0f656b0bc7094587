import { createHash } from 'node:crypto'
import { type IncomingMessage, STATUS_CODES } from 'node:http'
import { givenBack } from '../../base/bytes.ts'
import { SliceQueue } from '../../base/slice-queue.ts'
import {
  assert,
  CancelledError,
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
  PermissionDeniedError,
  UnavailableError,
} from '../../base/errors.ts'
import { SourceBrokeError, type SourceFile } from '../source.ts'
import type { HttpAnswer, HttpClient, HttpHeaders } from './http-client.ts'

/** What says that a content is still the same; weak tags, too: the size is compared besides. */
interface Validators {
  readonly tag: string | undefined
  readonly modified: string | undefined
  readonly sizeBytes: number | undefined
}

/** Who is asked for a file's bytes, and how: a signature may be due for each request. */
export interface HttpRequester {
  readonly client: HttpClient
  /** For people. */
  readonly name: string
  /** The address and what to send with it; `range` is the value of that header. */
  request(range: string | undefined): Promise<{ readonly url: URL; readonly headers: HttpHeaders }>
}

/** A file of which only the address is known, or what a list says besides. */
export class HttpFile implements SourceFile {
  readonly path: string
  readonly #requester: HttpRequester
  #seen: Validators | undefined
  /** What has come, where nothing else says that a content is still the same. */
  #came: Sum | undefined
  readonly #listed: { readonly sizeBytes?: number; readonly version?: string }

  constructor(
    requester: HttpRequester,
    path: string,
    listed: { readonly sizeBytes?: number; readonly version?: string } = {},
  ) {
    this.path = path
    this.#requester = requester
    this.#listed = listed
  }

  /** Known when it was opened, if not before. */
  get sizeBytes(): number | undefined {
    return this.#listed.sizeBytes ?? this.#seen?.sizeBytes
  }

  get version(): string | undefined {
    return this.#listed.version ?? versionOf(this.#seen)
  }

  async *open(offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { client } = this.#requester
    // Where nothing says that the rest belongs to what came, all is read again, and the beginning compared.
    const before = offset > 0 && this.#came?.length === offset ? this.#came.text : undefined
    const range = offset === 0 || before !== undefined ? undefined : `bytes=${offset}-`
    const { url, headers } = await this.#requester.request(range)
    const answer = await client.get(
      url,
      { 'accept-encoding': 'identity', ...headers, ...(range !== undefined && { range }) },
      signal,
    )
    try {
      const skipped = this.#check(answer, before === undefined ? offset : 0)
      const slices = bodyBytes(answer.body, signal)
      if (before === undefined) {
        this.#came = offset === 0 && isUnmarked(this.#seen) ? new Sum() : undefined
      }
      const rest =
        before === undefined ? after(slices, skipped) : this.#afterSame(slices, offset, before)
      for await (const slice of rest) {
        this.#came?.add(slice)
        yield slice
      }
    } finally {
      answer.body.destroy()
    }
  }

  /** What comes after the first `length` bytes. @throws {FailedPreconditionError} when the sum of those is not `before`. */
  async *#afterSame(
    slices: AsyncIterable<Uint8Array>,
    length: number,
    before: string,
  ): AsyncGenerator<Uint8Array> {
    const again = new Sum()
    for await (const slice of slices) {
      const left = length - again.length
      if (left === 0) {
        yield slice
        continue
      }
      again.add(slice.subarray(0, left))
      if (again.length < length) continue
      if (again.text !== before) break
      if (slice.length > left) yield slice.subarray(left)
    }
    if (again.text !== before) throw this.#changed(length)
  }

  async probe(signal: AbortSignal): Promise<void> {
    if (this.#listed.version !== undefined) return
    // Not a HEAD: some do not answer it, and signatures are for a GET.
    const range = 'bytes=0-0'
    const { client } = this.#requester
    const { url, headers } = await this.#requester.request(range)
    const answer = await client.get(
      url,
      { 'accept-encoding': 'identity', ...headers, range },
      signal,
    )
    answer.body.destroy()
    const { status } = answer
    if (status === 200 || status === 206) this.#seen = validatorsOf(status, answer.headers)
  }

  /** How many bytes of the body are before `offset`. */
  #check({ status, headers }: HttpAnswer, offset: number): number {
    if (status === 416 && offset > 0 && this.#seen?.sizeBytes === offset) return 0
    if (status !== 200 && status !== 206) throw statusError(this.#requester.name, status, headers)
    const now = validatorsOf(status, headers)
    const before = this.#seen
    this.#seen ??= now
    if (offset === 0) {
      if (status === 206) throw this.#unusable('answers with a part of the file when asked for all')
      // What came before is not used any more.
      this.#seen = now
      return 0
    }
    if (before !== undefined && !isSame(before, now)) throw this.#changed(offset)
    if (status === 200) return offset
    const start = /^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1]
    if (Number(start) !== offset)
      throw this.#unusable('answers with another part than was asked for')
    return 0
  }

  #changed(offset: number): FailedPreconditionError {
    return new FailedPreconditionError(
      `cannot go on reading ${this.#requester.name} after ${offset} bytes: it has changed meanwhile, or its server does not say that it has not (by an ETag or a date of change); try again`,
    )
  }

  #unusable(what: string): UnavailableError {
    return new UnavailableError(`cannot read ${this.#requester.name}: its server ${what}`)
  }
}

/** Whether an answer came, and nothing in it tells this content from another. */
function isUnmarked(seen: Validators | undefined): boolean {
  return seen !== undefined && seen.tag === undefined && seen.modified === undefined
}

function versionOf(seen: Validators | undefined): string | undefined {
  if (seen === undefined) return undefined
  const { tag, modified, sizeBytes } = seen
  if (tag === undefined && modified === undefined) return undefined
  return `${tag ?? ''} ${modified ?? ''} ${sizeBytes ?? ''}`
}

function validatorsOf(status: number, headers: HttpAnswer['headers']): Validators {
  const total =
    status === 206
      ? /\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1]
      : headers['content-length']
  return {
    tag: headers.etag,
    modified: headers['last-modified'],
    sizeBytes: total === undefined ? undefined : Number(total),
  }
}

function isSame(before: Validators, now: Validators): boolean {
  const saysSo = before.tag === undefined ? before.modified !== undefined : true
  return (
    saysSo &&
    before.tag === now.tag &&
    before.modified === now.modified &&
    (before.sizeBytes === undefined ||
      now.sizeBytes === undefined ||
      before.sizeBytes === now.sizeBytes)
  )
}

/** Without the first `skipped` bytes. */
async function* after(
  slices: AsyncIterable<Uint8Array>,
  skipped: number,
): AsyncGenerator<Uint8Array> {
  let left = skipped
  for await (const slice of slices) {
    if (left >= slice.length) left -= slice.length
    else {
      yield left === 0 ? slice : slice.subarray(left)
      left = 0
    }
  }
}

async function* bodyBytes(body: IncomingMessage, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    yield* givenBack(slicesOf(body))
  } catch (error) {
    if (signal.aborted) throw new CancelledError('the transfer was cancelled', { cause: error })
    const { code, message } = error as NodeJS.ErrnoException
    throw new SourceBrokeError(`the connection broke (${code ?? message})`, { cause: error })
  }
  // Node ends a body without a word when what came is not what its headers announce.
  if (!body.complete) throw new SourceBrokeError('the connection broke before the end')
}

/** What bytes were, without them. */
class Sum {
  readonly #hash = createHash('sha256')
  length = 0

  add(bytes: Uint8Array): void {
    this.#hash.update(bytes)
    this.length += bytes.length
  }

  get text(): string {
    return this.#hash.copy().digest('hex')
  }
}

/** The slices in which a body arrives: as a stream of Node's, it would join what waits, and leave the parts. */
async function* slicesOf(body: IncomingMessage): AsyncGenerator<Uint8Array> {
  const queue = new SliceQueue(() => body.resume())
  body.on('data', (slice: Uint8Array) => {
    if (!queue.push(slice)) body.pause()
  })
  body.once('error', (error) => queue.fail(error))
  body.once('end', () => queue.end()).once('close', () => queue.end())
  for (let slice = await queue.next(); slice !== undefined; slice = await queue.next()) {
    assert(slice.length > 0, 'a slice of a body has memory of its own')
    yield slice
  }
}

/** What to wait for at most when a server asks for patience. */
const retryAfterMsMax = 60_000
const transientStatuses: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504])

/** The error for an answer that is no content. */
export function statusError(name: string, status: number, headers: HttpAnswer['headers']): Error {
  const text = `cannot fetch ${name}: its server answers ${statusText(status)}`
  if (transientStatuses.has(status)) {
    const seconds = Number(headers['retry-after'])
    const ms = Number.isFinite(seconds) ? Math.min(retryAfterMsMax, seconds * 1000) : 0
    return new SourceBrokeError(`its server answers ${statusText(status)}`, { retryAfterMs: ms })
  }
  if (status === 404 || status === 410) return new NotFoundError(text)
  if (status === 401 || status === 403 || status === 407) {
    return new PermissionDeniedError(
      `${text}: without the right user and password it cannot be had`,
    )
  }
  return status >= 500 ? new UnavailableError(text) : new InvalidArgumentError(text)
}

function statusText(status: number): string {
  const name = STATUS_CODES[status]
  return name === undefined ? `status ${status}` : `${status} ${name}`
}
