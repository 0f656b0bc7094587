import { createHash } from 'node:crypto'
import { type ByteStream, concatBytes, copyBytes, emptyBytes, equalBytes } from '../base/bytes.ts'
import { assert, UnavailableError } from '../base/errors.ts'
import { type Content, contentSizeBytes, type Contents } from '../storage/contents.ts'
import type { KeptTransfer } from '../versioning/kept-transfers.ts'
import { type ResumePorts, resumedBytes } from './resumed-bytes.ts'
import type { SourceFile } from './source.ts'

/** Of a file that failed, less is not worth keeping. */
const partBytesMin = 1024 * 1024

export interface FetchPorts {
  readonly patience: ResumePorts
  readonly contents: Contents
  /** Where to keep what has come, if anywhere. */
  readonly kept: KeptTransfer | undefined
}

export interface Fetch {
  readonly file: SourceFile
  /** Names the file among all of the transfer. */
  readonly id: string
  /** For people. */
  readonly name: string
  readonly signal: AbortSignal
  /** A file of at most so many bytes is not stored, but comes as it is. */
  readonly smallBytesMax: number
  readonly onBytes: (count: number) => void
  readonly onKept: (sizeBytes: number) => void
}

/**
 * Stores a file of a source: what an earlier try has kept of it, and the rest from the source. What
 * has come is kept when the rest fails.
 */
export async function fetchContent(ports: FetchPorts, fetch: Fetch): Promise<Content | Uint8Array> {
  const { kept } = ports
  const { file, signal, onBytes, onKept } = fetch
  const stored = await file.stored?.()
  if (stored !== undefined) {
    onBytes(stored.cameBytes)
    onKept(contentSizeBytes(stored.content) - stored.cameBytes)
    return stored.content
  }
  if (kept?.hasEarlier === true) await file.probe?.(signal)
  const before = keptNames(fetch)
  const whole = before && (await kept?.find(before.whole))
  if (whole !== undefined) {
    onKept(contentSizeBytes(whole))
    return whole
  }
  const part = before && (await kept?.find(before.part))
  if (part !== undefined) onKept(contentSizeBytes(part))
  const content = await fetchRest(ports, fetch, part)
  const after = keptNames(fetch)
  if (after !== undefined && !(content instanceof Uint8Array)) kept?.keep(after.whole, content)
  return content
}

/** As `fetchContent`, where even a small file is to be stored. */
export async function fetchStored(
  ports: FetchPorts,
  fetch: Omit<Fetch, 'smallBytesMax'>,
): Promise<Content> {
  const content = await fetchContent(ports, { ...fetch, smallBytesMax: 0 })
  assert(!(content instanceof Uint8Array), 'with smallBytesMax 0, every file is stored')
  return content
}

/** What a version of a file is kept as; undefined where nobody can say whether it is still the same. */
function keptNames({
  file,
  id,
}: Fetch): { readonly whole: string; readonly part: string } | undefined {
  if (file.version === undefined) return undefined
  const hash = createHash('sha256').update(`${id}\0${file.version}`).digest('hex')
  return { whole: hash, part: `${hash}.part` }
}

async function fetchRest(
  ports: FetchPorts,
  fetch: Fetch,
  start: Content | undefined,
): Promise<Content | Uint8Array> {
  const { contents, kept } = ports
  const { file, name, signal, onBytes, onKept } = fetch
  // What is told before a slice is of that slice.
  let heldBytes = 0
  const onHeld = (count: number): void => {
    heldBytes += count
  }
  const onSlice = (count: number): void => {
    const here = Math.min(heldBytes, count)
    heldBytes = 0
    onBytes(count - here)
    onKept(here)
  }
  const offset = start === undefined ? 0 : contentSizeBytes(start)
  const rest = new Rest(
    counted(resumedBytes(ports.patience, file, { name, offset, signal, onHeld }), onSlice),
  )
  const joined = async (tail: Content): Promise<Content> =>
    start === undefined ? tail : contents.append(start, tail)
  const keepPart = async (tail: Content): Promise<void> => {
    const names = keptNames(fetch)
    if (names !== undefined) kept?.keep(names.part, await joined(tail))
  }
  try {
    const small = start === undefined ? await rest.wholeIfSmall(fetch.smallBytesMax) : undefined
    if (small !== undefined) return small
    const onPart = async (part: Content): Promise<void> => {
      await keepPart(part)
      await kept?.saveWhenDue()
    }
    const tail = await contents.write(rest.bytes(), { onPart })
    const { failure } = rest
    if (failure === undefined) {
      const content = await joined(tail)
      requireNamed(fetch, content, ports)
      return content
    }
    if (contentSizeBytes(tail) >= partBytesMin) await keepPart(tail)
    throw failure.error
  } finally {
    await rest.close()
  }
}

/** @throws {UnavailableError} when the bytes are not what the source calls them; none of them are kept. */
function requireNamed(fetch: Fetch, content: Content, { contents, kept }: FetchPorts): void {
  const named = fetch.file.content
  if (named === undefined || equalBytes(contents.hash(named), contents.hash(content))) return
  const names = keptNames(fetch)
  if (names !== undefined) kept?.keep(names.part, { kind: 'inline', bytes: emptyBytes })
  throw new UnavailableError(
    `cannot read ${fetch.name}: what came is not what the other server calls it; check that server with pachctl fsck --full`,
  )
}

async function* counted(
  bytes: ByteStream,
  onBytes: (count: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const slice of bytes) {
    onBytes(slice.length)
    yield slice
  }
}

/** A stream whose failure ends it: what came before is whole up to there. */
class Rest {
  readonly #source: AsyncGenerator<Uint8Array>
  /** Looked at, and not given to anybody yet. */
  readonly #ahead: Uint8Array[] = []
  #failure: { readonly error: unknown } | undefined

  constructor(source: AsyncGenerator<Uint8Array>) {
    this.#source = source
  }

  /** What ended it, other than its end. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure
  }

  /** All of it, when that is at most so many bytes. */
  async wholeIfSmall(bytesMax: number): Promise<Uint8Array | undefined> {
    if (bytesMax === 0) return undefined
    let size = 0
    for (;;) {
      const { value, done } = await this.#source.next()
      if (done === true) return concatBytes(this.#ahead)
      // The source takes its memory back.
      this.#ahead.push(copyBytes(value))
      size += value.length
      if (size > bytesMax) return undefined
    }
  }

  async *bytes(): AsyncGenerator<Uint8Array> {
    yield* this.#ahead.splice(0)
    try {
      yield* this.#source
    } catch (error) {
      this.#failure = { error }
    }
  }

  async close(): Promise<void> {
    await this.#source.return(undefined)
  }
}
