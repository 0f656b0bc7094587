import { DataLossError } from '../../base/errors.ts'
import { listReferences } from '../chunk-lists/list-reader.ts'
import type { ChunkId, ChunkStore } from '../chunks.ts'
import type { CollectionRoot } from '../collection-roots.ts'
import type { Content } from '../contents.ts'
import { FileTrees } from '../file-trees.ts'
import type { Marks, PackCollection } from '../packs/pack-collection.ts'
import { type ChunkBits, hasBit, newChunkBits, setBit } from '../packs/recent-puts.ts'
import { ProllyMaps } from '../prolly-map.ts'
import type { Pace } from './pace.ts'

/** Of decoded nodes. Each is read once, so keeping them gains little. */
const cacheBytesMax = 2 * 1024 * 1024
/** Chunks that are not in sealed packs yet and are remembered by id; then they are flushed. */
const draftedMax = 20_000

/** Finds every chunk that roots keep, each once, and marks it in its pack: one bit a chunk. */
export class Marker {
  readonly #chunks: ChunkStore
  readonly #packs: PackCollection
  readonly #pace: Pace
  readonly #trees: FileTrees
  readonly #maps: ProllyMaps
  readonly #marks = new Map<string, ChunkBits>()
  readonly #drafted = new Set<ChunkId>()
  readonly #isNew = (id: ChunkId): Promise<boolean> => this.#mark(id)
  /** Small files that somebody wants to know about, as latin1 texts, and those that were seen. */
  readonly wantedInline: Set<string> = new Set()
  readonly seenInline: Set<string> = new Set()
  #chunkCount = 0
  #missingCount = 0
  #firstMissing: ChunkId | undefined

  constructor(chunks: ChunkStore, packs: PackCollection, pace: Pace) {
    this.#chunks = chunks
    this.#packs = packs
    this.#pace = pace
    this.#trees = new FileTrees(chunks, { cacheBytesMax })
    this.#maps = new ProllyMaps(chunks, { cacheBytesMax })
  }

  get marks(): Marks {
    return this.#marks
  }

  get chunkCount(): number {
    return this.#chunkCount
  }

  /** Chunks that are referred to, hold nothing but a part of a file, and are in no pack. */
  get missingCount(): number {
    return this.#missingCount
  }

  /**
   * To be called before anything is deleted: a chunk that is not found may be in a pack whose index is
   * damaged, which would then seem to hold nothing that is needed.
   *
   * @throws {DataLossError} when something is missing.
   */
  requireWhole(): void {
    if (this.#firstMissing === undefined) return
    throw new DataLossError(
      `nothing was collected, because ${this.#missingCount} references lead to chunks that are missing, the first of them ${this.#firstMissing}: pachctl fsck names the files; restore the packs, or delete the commits`,
    )
  }

  /** @throws {DataLossError} when what is below a node cannot be known. */
  async add(root: CollectionRoot): Promise<void> {
    try {
      await this.#add(root)
    } catch (error) {
      if (!(error instanceof DataLossError)) throw error
      throw new DataLossError(
        `nothing was collected, because something that is needed cannot be read: ${error.message}`,
        { cause: error },
      )
    }
  }

  /** Whether the chunk is among what has been added. */
  async has(id: ChunkId): Promise<boolean> {
    const place = await this.#packs.place(id)
    if (place === 'draft') return this.#drafted.has(id)
    if (place === undefined) return false
    const bits = this.#marks.get(place.pack.name)
    return bits !== undefined && hasBit(bits, place.index)
  }

  async #add(root: CollectionRoot): Promise<void> {
    switch (root.kind) {
      case 'tree':
        return await this.#addTree(root.root)
      case 'map':
        for await (const _ of this.#maps.newNodes(root.root, this.#isNew)) await this.#pace.keep()
        return
      case 'content':
        return await this.#addContent(root.content)
      case 'chunk':
        await this.#mark(root.chunk)
        return
      default:
        root satisfies never
    }
  }

  async #addTree(root: ChunkId): Promise<void> {
    const { wantedInline, seenInline } = this
    const onInline = (bytes: Uint8Array): void => {
      const text = Buffer.from(bytes).toString('latin1')
      if (wantedInline.has(text)) seenInline.add(text)
    }
    const watched = wantedInline.size > 0 ? onInline : undefined
    for await (const reference of this.#trees.references(root, this.#isNew, watched)) {
      await this.#pace.keep()
      if (reference.kind === 'list') await this.#addList(reference)
    }
  }

  async #addContent(content: Content): Promise<void> {
    if (content.kind === 'chunk') await this.#mark(content.chunk)
    if (content.kind !== 'list' || !(await this.#mark(content.root))) return
    await this.#addList({ id: content.root, sizeBytes: content.sizeBytes })
  }

  async #addList(list: { readonly id: ChunkId; readonly sizeBytes: number }): Promise<void> {
    for await (const _ of listReferences(this.#chunks, list, this.#isNew)) await this.#pace.keep()
  }

  /** True the first time. */
  async #mark(id: ChunkId): Promise<boolean> {
    const place = await this.#packs.place(id)
    if (place === 'draft') return await this.#markDrafted(id)
    if (place === undefined) {
      // Of a node, reading it says so at once.
      this.#missingCount += 1
      this.#firstMissing ??= id
      return true
    }
    const { pack, index } = place
    const bits = this.#marks.get(pack.name) ?? newChunkBits(pack.chunkCount)
    this.#marks.set(pack.name, bits)
    const isNew = setBit(bits, index)
    if (isNew) this.#chunkCount += 1
    return isNew
  }

  /** What is sealed from now on is spared anyway; the ids only say what has been looked at. */
  async #markDrafted(id: ChunkId): Promise<boolean> {
    if (this.#drafted.has(id)) return false
    if (this.#drafted.size >= draftedMax) {
      await this.#chunks.flush()
      this.#drafted.clear()
      return await this.#mark(id)
    }
    this.#drafted.add(id)
    this.#chunkCount += 1
    return true
  }
}
