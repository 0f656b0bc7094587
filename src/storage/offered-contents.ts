import { concatBytes, copyBytes, emptyBytes } from '../base/bytes.ts'
import { DataLossError, UnavailableError } from '../base/errors.ts'
import { chunkIdOf } from './chunk-id.ts'
import { decodeNode, type ChunkRef } from './chunk-lists/node.ts'
import { chunkBytesMax, type ChunkHolder, type ChunkId, type ChunkStore } from './chunks.ts'
import { listReferences } from './chunk-lists/list-reader.ts'
import { type Content, inlineBytesMax } from './contents.ts'
import { splitBytesMin } from './splitter/gear.ts'

/** Whether two stores of chunks cut contents in the same places: `docs/formats/chunks.md`. */
export const chunkFormat = 1

/** A store elsewhere that has the same kind of chunks. Its answers are not to be trusted. */
export interface ChunkOrigin {
  /** The bytes of those chunks, one behind the other, in slices that may be used until the next is asked for. */
  fetch(ids: readonly ChunkId[], signal: AbortSignal): AsyncIterable<Uint8Array>
}

/** Chunks that are asked for at once. */
const fetchedMax = 1000
/** A chunk list is no deeper. */
const depthMax = 10

/**
 * Contents that another store offers by name: what is here already does not have to come. Only bytes are
 * taken from it, never its nodes, so that whatever it says, what is stored is what its bytes make.
 */
export class OfferedContents {
  readonly #chunks: ChunkStore & ChunkHolder

  constructor(chunks: ChunkStore & ChunkHolder) {
    this.#chunks = chunks
  }

  /** Whether all of a content is here; it then is kept, for as long as a lease of the caller lives. */
  async isHeld(content: Content): Promise<boolean> {
    if (content.kind === 'inline') return true
    if (content.kind === 'chunk') {
      if (!isWhole(content.sizeBytes) || !(await this.#chunks.holds(content.chunk))) return false
      return (await this.#chunks.get(content.chunk)).length === content.sizeBytes
    }
    const { root: id, sizeBytes } = content
    if (!(await this.#chunks.holds(id))) return false
    let isComplete = true
    const notice = async (chunk: ChunkId): Promise<boolean> => {
      isComplete &&= await this.#chunks.holds(chunk)
      return isComplete
    }
    try {
      for await (const _ of listReferences(this.#chunks, { id, sizeBytes }, notice)) {
        if (!isComplete) break
      }
    } catch (error) {
      if (!(error instanceof DataLossError)) throw error
      return false // what is named is no list
    }
    return isComplete
  }

  /**
   * Stores the small contents among those offered that are not here yet, each of which is one chunk, whatever
   * its bytes. Returns the chunks that came.
   */
  async takeSmall(
    origin: ChunkOrigin,
    contents: readonly Content[],
    signal: AbortSignal,
  ): Promise<ReadonlySet<ChunkId>> {
    const missing = new Map<ChunkId, number>()
    for (const content of contents) {
      if (content.kind !== 'chunk' || !isWhole(content.sizeBytes)) continue
      const { chunk, sizeBytes } = content
      if (!(await this.#chunks.holds(chunk))) missing.set(chunk, sizeBytes)
    }
    await using arriving = new Arriving(origin, [...missing.keys()], signal)
    for (const [id, sizeBytes] of missing) {
      await this.#chunks.put(await arriving.whole({ id, sizeBytes }))
    }
    await arriving.end()
    return new Set(missing.keys())
  }

  /**
   * The bytes of a content from `offset` on: from here where they are here, else from the origin.
   * `onHeld` is told of those that were here. Of a list, what comes is not compared with the names of its chunks:
   * whoever stores all of it sees whether it has become that content.
   */
  async *bytes(
    origin: ChunkOrigin,
    content: Content,
    options: {
      readonly offset: number
      readonly signal: AbortSignal
      readonly onHeld: (count: number) => void
    },
  ): AsyncGenerator<Uint8Array> {
    const { offset, signal } = options
    if (content.kind === 'inline') {
      yield content.bytes.subarray(offset)
      return
    }
    // Chunks that end before the offset need not come; of the first that does not, a part is skipped.
    let position = 0
    let skipped = offset
    const refs = this.#refs(origin, content, signal)
    const wanted = filtered(refs, ({ sizeBytes }) => {
      position += sizeBytes
      if (position <= offset) skipped -= sizeBytes
      return position > offset
    })
    const isChecked = content.kind === 'chunk'
    for await (const group of inGroups(wanted, fetchedMax)) {
      for await (const bytes of this.#group(origin, group, { ...options, isChecked })) {
        if (skipped < bytes.length) yield bytes.subarray(skipped)
        skipped = Math.max(0, skipped - bytes.length)
      }
    }
  }

  /** The chunks that a content is made of. */
  async *#refs(
    origin: ChunkOrigin,
    content: Exclude<Content, { readonly kind: 'inline' }>,
    signal: AbortSignal,
  ): AsyncGenerator<ChunkRef> {
    const { sizeBytes } = content
    if (content.kind === 'chunk') yield { id: content.chunk, sizeBytes }
    else yield* this.#listed(origin, { id: content.root, sizeBytes }, { signal, depth: 0 })
  }

  async *#listed(
    origin: ChunkOrigin,
    list: ChunkRef,
    { signal, depth }: { readonly signal: AbortSignal; readonly depth: number },
  ): AsyncGenerator<ChunkRef> {
    if (depth > depthMax) throw untrue('a chunk list that does not end')
    const { level, entries } = nodeOf(list.id, await this.#node(origin, list.id, signal))
    for (const entry of entries) {
      if (level === 0) yield entry
      else yield* this.#listed(origin, entry, { signal, depth: depth + 1 })
    }
  }

  async #node(origin: ChunkOrigin, id: ChunkId, signal: AbortSignal): Promise<Uint8Array> {
    if (await this.#chunks.holds(id)) return await this.#chunks.get(id)
    const parts: Uint8Array[] = []
    let size = 0
    for await (const slice of origin.fetch([id], signal)) {
      size += slice.length
      if (size > chunkBytesMax) throw anotherChunk()
      parts.push(copyBytes(slice))
    }
    if (parts.length === 0) throw fewerChunks()
    return checked(id, concatBytes(parts))
  }

  async *#group(
    origin: ChunkOrigin,
    group: readonly ChunkRef[],
    {
      signal,
      onHeld,
      isChecked,
    }: {
      readonly signal: AbortSignal
      readonly onHeld: (count: number) => void
      readonly isChecked: boolean
    },
  ): AsyncGenerator<Uint8Array> {
    const isHere = await Promise.all(group.map(({ id }) => this.#chunks.holds(id)))
    const missing = group.filter((_ref, index) => isHere[index] === false).map(({ id }) => id)
    await using arriving = new Arriving(origin, missing, signal)
    for (const [index, ref] of group.entries()) {
      if (isHere[index] === true) {
        const bytes = await this.#chunks.get(ref.id)
        if (bytes.length !== ref.sizeBytes)
          throw untrue('a chunk of another size than its list says')
        onHeld(bytes.length)
        yield bytes
      } else if (isChecked) yield await arriving.whole(ref)
      else yield* arriving.slices(ref.sizeBytes)
    }
    await arriving.end()
  }
}

/** So small that it is one chunk whatever its bytes. */
function isWhole(sizeBytes: number): boolean {
  return sizeBytes > inlineBytesMax && sizeBytes <= splitBytesMin
}

function nodeOf(id: ChunkId, bytes: Uint8Array): ReturnType<typeof decodeNode> {
  try {
    return decodeNode(id, bytes)
  } catch (cause) {
    throw untrue('something that is no chunk list where one was announced', { cause })
  }
}

/** The origin says what cannot be: nothing of ours is damaged. */
class UntrueOfferError extends UnavailableError {
  override readonly name = 'UntrueOfferError'
}

function untrue(what: string, options?: ErrorOptions): UntrueOfferError {
  return new UntrueOfferError(`another server answers with ${what}`, options)
}

function checked(id: ChunkId, bytes: Uint8Array): Uint8Array {
  if (chunkIdOf(bytes) === id) return bytes
  throw anotherChunk()
}

function anotherChunk(): UntrueOfferError {
  return untrue('another chunk than was asked for')
}

function fewerChunks(): UntrueOfferError {
  return untrue('fewer chunks than were asked for')
}

/** Chunks on their way here, one after another. */
class Arriving implements AsyncDisposable {
  readonly #slices: AsyncIterator<Uint8Array>
  /** What has come of the next chunk. */
  #begun: Uint8Array = emptyBytes

  constructor(origin: ChunkOrigin, ids: readonly ChunkId[], signal: AbortSignal) {
    const slices = ids.length === 0 ? [] : origin.fetch(ids, signal)
    this.#slices = inSlices(slices)
  }

  /** The next chunk, which is what it is called. */
  async whole({ id, sizeBytes }: ChunkRef): Promise<Uint8Array> {
    if (sizeBytes > chunkBytesMax) throw anotherChunk()
    const bytes = new Uint8Array(sizeBytes)
    let at = 0
    for await (const slice of this.slices(sizeBytes)) {
      bytes.set(slice, at)
      at += slice.length
    }
    return checked(id, bytes)
  }

  /** The next bytes, so many of them, as they come. */
  async *slices(sizeBytes: number): AsyncGenerator<Uint8Array> {
    for (let left = sizeBytes; left > 0;) {
      if (this.#begun.length === 0) {
        const next = await this.#slices.next()
        if (next.done === true) throw fewerChunks()
        this.#begun = next.value
      }
      const slice = this.#begun.subarray(0, left)
      this.#begun = this.#begun.subarray(left)
      left -= slice.length
      yield slice
    }
  }

  /** Nothing more is to come. */
  async end(): Promise<void> {
    const isOver = this.#begun.length === 0 && (await this.#slices.next()).done === true
    if (!isOver) throw untrue('more chunks than were asked for')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#slices.return?.()
  }
}

async function* inSlices(
  slices: AsyncIterable<Uint8Array> | readonly Uint8Array[],
): AsyncGenerator<Uint8Array> {
  yield* slices
}

async function* filtered<Item>(
  items: AsyncIterable<Item>,
  isWanted: (item: Item) => boolean,
): AsyncGenerator<Item> {
  for await (const item of items) if (isWanted(item)) yield item
}

async function* inGroups<Item>(
  items: AsyncIterable<Item>,
  count: number,
): AsyncGenerator<readonly Item[]> {
  let group: Item[] = []
  for await (const item of items) {
    group.push(item)
    if (group.length < count) continue
    yield group
    group = []
  }
  if (group.length > 0) yield group
}
