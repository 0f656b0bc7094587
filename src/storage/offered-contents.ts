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
  /** The chunks of those ids, in their order. */
  fetch(ids: readonly ChunkId[], signal: AbortSignal): AsyncIterable<Uint8Array>
}

/** Chunks that are asked for at once, while those before them are taken. */
const fetchedMax = 16
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
    const missing = new Set<ChunkId>()
    for (const content of contents) {
      if (content.kind !== 'chunk' || !isWhole(content.sizeBytes)) continue
      if (!(await this.#chunks.holds(content.chunk))) missing.add(content.chunk)
    }
    for await (const { bytes } of fetched(origin, [...missing], signal)) {
      await this.#chunks.put(bytes)
    }
    return missing
  }

  /**
   * The bytes of a content from `offset` on: from here where they are here, else from the origin.
   * `onHeld` is told of those that were here.
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
    for await (const group of inGroups(wanted, fetchedMax)) {
      for await (const bytes of this.#group(origin, group, options)) {
        yield bytes.subarray(skipped)
        skipped = 0
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
    let bytes: Uint8Array | undefined
    if (await this.#chunks.holds(list.id)) bytes = await this.#chunks.get(list.id)
    else for await (const { bytes: node } of fetched(origin, [list.id], signal)) bytes = node
    if (bytes === undefined) throw untrue('no chunk where one was asked for')
    const { level, entries } = nodeOf(list.id, bytes)
    for (const entry of entries) {
      if (level === 0) yield entry
      else yield* this.#listed(origin, entry, { signal, depth: depth + 1 })
    }
  }

  async *#group(
    origin: ChunkOrigin,
    group: readonly ChunkRef[],
    { signal, onHeld }: { readonly signal: AbortSignal; readonly onHeld: (count: number) => void },
  ): AsyncGenerator<Uint8Array> {
    const isHere = await Promise.all(group.map(({ id }) => this.#chunks.holds(id)))
    const missing = group.filter((_ref, index) => isHere[index] === false).map(({ id }) => id)
    await using arriving = new Arriving(fetched(origin, missing, signal))
    for (const [index, { id, sizeBytes }] of group.entries()) {
      const bytes = isHere[index] === true ? await this.#chunks.get(id) : await arriving.next()
      if (bytes.length !== sizeBytes) throw untrue('a chunk of another size than its list says')
      if (isHere[index] === true) onHeld(bytes.length)
      yield bytes
    }
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

/** Chunks that are what they are called. */
async function* fetched(
  origin: ChunkOrigin,
  ids: readonly ChunkId[],
  signal: AbortSignal,
): AsyncGenerator<{ readonly id: ChunkId; readonly bytes: Uint8Array }> {
  if (ids.length === 0) return
  let index = 0
  for await (const bytes of origin.fetch(ids, signal)) {
    const id = ids[index]
    if (id === undefined) throw untrue('more chunks than were asked for')
    if (bytes.length > chunkBytesMax || chunkIdOf(bytes) !== id)
      throw untrue('another chunk than was asked for')
    index += 1
    yield { id, bytes }
  }
  if (index < ids.length) throw untrue('fewer chunks than were asked for')
}

class Arriving implements AsyncDisposable {
  readonly #source: AsyncGenerator<{ readonly bytes: Uint8Array }>

  constructor(source: AsyncGenerator<{ readonly bytes: Uint8Array }>) {
    this.#source = source
  }

  async next(): Promise<Uint8Array> {
    const next = await this.#source.next()
    if (next.done === true) throw untrue('fewer chunks than were asked for')
    return next.value.bytes
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.return(undefined)
  }
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
