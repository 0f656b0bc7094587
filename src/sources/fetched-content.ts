import { createHash } from 'node:crypto'
import { type ByteStream, concatBytes, copyBytes } from '../base/bytes.ts'
import { assert } from '../base/errors.ts'
import { type Content, contentSizeBytes, type Contents } from '../storage/contents.ts'
import type { KeptTransfer } from '../versioning/kept-transfers.ts'
import { type ResumePorts, resumedBytes } from './resumed-bytes.ts'
import type { SourceFile } from './source.ts'

/** So much of a long file is stored at a time, and kept when what follows fails. */
const segmentBytes = 64 * 1024 * 1024
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
  const rest = new Segments(
    counted(resumedBytes(ports.patience, file, { name, offset, signal, onHeld }), onSlice),
  )
  let content = start
  try {
    const small = start === undefined ? await rest.wholeIfSmall(fetch.smallBytesMax) : undefined
    if (small !== undefined) return small
    for (;;) {
      const next = await contents.write(rest.next(segmentBytes))
      content = content === undefined ? next : await contents.append(content, next)
      rest.requireNoFailure()
      if (rest.isSpent) return content
      const names = keptNames(fetch)
      if (names !== undefined) kept?.keep(names.part, content)
    }
  } catch (error) {
    const names = keptNames(fetch)
    if (names !== undefined && content !== undefined && contentSizeBytes(content) >= partBytesMin) {
      kept?.keep(names.part, content)
    }
    throw error
  } finally {
    await rest.close()
  }
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

/** A stream in pieces, each a stream; a failure ends the piece, which is whole up to there. */
class Segments {
  readonly #source: AsyncGenerator<Uint8Array>
  /** Looked at, and not given to anybody yet. */
  #ahead: Uint8Array[] = []
  #isAtEnd = false
  #failure: { readonly error: unknown } | undefined

  constructor(source: AsyncGenerator<Uint8Array>) {
    this.#source = source
  }

  /** All of it, when that is at most so many bytes. */
  async wholeIfSmall(bytesMax: number): Promise<Uint8Array | undefined> {
    let size = 0
    const head: Uint8Array[] = []
    if (bytesMax === 0) return undefined
    for (;;) {
      const slice = await this.#slice()
      if (slice === undefined) break
      // The source takes its memory back.
      head.push(copyBytes(slice))
      size += slice.length
      if (size > bytesMax) break
    }
    if (this.#isAtEnd && size <= bytesMax) return concatBytes(head)
    this.#ahead = head
    return undefined
  }

  /** At least `bytes` long, if there are so many. */
  async *next(bytes: number): AsyncGenerator<Uint8Array> {
    let left = bytes
    while (left > 0) {
      const slice = await this.#slice()
      if (slice === undefined) return
      left -= slice.length
      yield slice
    }
  }

  get isSpent(): boolean {
    return this.#isAtEnd && this.#ahead.length === 0
  }

  requireNoFailure(): void {
    if (this.#failure !== undefined && this.#ahead.length === 0) throw this.#failure.error
  }

  async close(): Promise<void> {
    await this.#source.return(undefined)
  }

  async #slice(): Promise<Uint8Array | undefined> {
    const ahead = this.#ahead.shift()
    if (ahead !== undefined || this.#isAtEnd || this.#failure !== undefined) return ahead
    try {
      const next = await this.#source.next()
      if (next.done !== true) return next.value
      this.#isAtEnd = true
    } catch (error) {
      this.#failure = { error }
    }
    return undefined
  }
}
