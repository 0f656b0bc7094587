import type { ChunkId, ChunkReader } from './chunks.ts'
import { type MarkedChunk, referencesOf, type WalkedChunk } from './collecting/node-references.ts'
import type { Content } from './contents.ts'
import type { TreeRoot } from './tree-entries.ts'

/** A chunk as what it was named. */
export type NamedChunk = MarkedChunk

/** Of a list, its size. */
type Use = 'chunk' | 'tree' | number

/**
 * Names that are remembered, some 120 bytes each: more than a list of contents is ahead of who reads it, by
 * the window of a stream.
 */
const rememberedMax = 300_000

/**
 * Which chunks are part of something that has a tree: so that who knows the name of a chunk gets its bytes
 * only from where it is. Who goes down a tree asks for what was named last, which is remembered; other
 * chunks are looked for in the whole tree.
 */
export class NamedChunks {
  readonly #chunks: ChunkReader
  /** By owner, the one that named something longest ago first. */
  readonly #named = new Map<string, Map<ChunkId, Use>>()
  #count = 0

  constructor(chunks: ChunkReader) {
    this.#chunks = chunks
  }

  /** The owner has said that it has this content. */
  note(owner: string, content: Content): void {
    if (content.kind === 'chunk') this.#note(owner, { use: 'chunk', id: content.chunk })
    if (content.kind !== 'list') return
    this.#note(owner, { use: 'list', id: content.root, sizeBytes: content.sizeBytes })
  }

  /** The owner has handed out this chunk, whose bytes name others. */
  noteBelow(owner: string, chunk: NamedChunk, bytes: Uint8Array): void {
    if (chunk.use === 'chunk') return
    for (const reference of referencesOf(chunk, bytes, undefined)) this.#note(owner, reference)
  }

  /** Those of `ids` that the owner has. @throws {DataLossError} when its tree cannot be read. */
  async find(
    owner: string,
    ids: Iterable<ChunkId>,
    tree: { readonly root: () => Promise<TreeRoot>; readonly signal: AbortSignal },
  ): Promise<ReadonlyMap<ChunkId, NamedChunk>> {
    const found = new Map<ChunkId, NamedChunk>()
    const missing = new Set<ChunkId>()
    for (const id of ids) {
      const named = this.#named.get(owner)?.get(id)
      if (named === undefined) missing.add(id)
      else if (typeof named === 'number') found.set(id, { use: 'list', id, sizeBytes: named })
      else found.set(id, { use: named, id })
    }
    if (missing.size === 0) return found
    for await (const chunk of this.#chunksOf(await tree.root(), tree.signal)) {
      this.#note(owner, chunk)
      if (!missing.delete(chunk.id)) continue
      found.set(chunk.id, chunk)
      if (missing.size === 0) break
    }
    return found
  }

  /** Everything that a tree is made of; what is below a node comes once. */
  async *#chunksOf(root: TreeRoot, signal: AbortSignal): AsyncGenerator<NamedChunk> {
    const pending: WalkedChunk[] = [{ use: 'tree', id: root }]
    yield* pending
    const walked = new Set([root])
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      signal.throwIfAborted()
      for (const chunk of referencesOf(next, await this.#chunks.get(next.id), undefined)) {
        yield chunk
        if (chunk.use === 'chunk' || walked.has(chunk.id)) continue
        walked.add(chunk.id)
        pending.push(chunk)
      }
    }
  }

  #note(owner: string, chunk: NamedChunk): void {
    const named = this.#named.get(owner) ?? new Map<ChunkId, Use>()
    this.#named.delete(owner)
    this.#named.set(owner, named)
    const countBefore = named.size
    named.set(chunk.id, useOf(chunk))
    this.#count += named.size - countBefore
    if (this.#count > rememberedMax) this.#forgetOldest()
  }

  #forgetOldest(): void {
    for (const [owner, named] of this.#named) {
      for (const id of named.keys()) {
        if (this.#count <= rememberedMax) break
        named.delete(id)
        this.#count -= 1
      }
      if (named.size === 0) this.#named.delete(owner)
      if (this.#count <= rememberedMax) return
    }
  }
}

function useOf(chunk: NamedChunk): Use {
  if (chunk.use === 'list') return chunk.sizeBytes
  return chunk.use === 'chunk' ? 'chunk' : 'tree'
}
