import { DataLossError } from '../../base/errors.ts'
import type { ChunkId, ChunkStore } from '../chunks.ts'
import type { CollectionRoot } from '../collection-roots.ts'
import type { Content } from '../contents.ts'
import type { PackCollection, PlacedInPack } from '../packs/pack-collection.ts'
import { MarkSet, type Walk } from './marks.ts'
import { type MarkedChunk, referencesOf, type WalkedChunk } from './node-references.ts'
import type { Pace } from './pace.ts'

/** Nodes that are read at once, and chunks that are looked for at once. */
const batchMax = 32
/** Chunks that are known to be marked without a look at where they are: mostly met again soon. */
const metMax = 10_000
/** Chunks that are not in sealed packs yet and are remembered by id; then they are flushed. */
const draftedMax = 20_000

type Use = MarkedChunk['use']

/** Of a node: about what is taken apart in one step of the pace. */
const stepBytes = 512

const none = new Uint8Array(0)

/**
 * Finds every chunk that roots keep, each once, and marks it in its pack. Nodes are read many at a
 * time: those in small packs lie far from each other, and one by one each would wait for the disk.
 */
export class Marker {
  readonly #chunks: ChunkStore
  readonly #packs: PackCollection
  readonly #pace: Pace
  readonly #marks: MarkSet
  /** Roots that have not been looked for yet. */
  readonly #added: MarkedChunk[] = []
  /** Marked, and not read yet. The last go first, so that no more wait than lie beside one path down. */
  readonly #pending: WalkedChunk[] = []
  /** As what each has been met. */
  readonly #drafted = new Map<ChunkId, Set<Use>>()
  /** Some of what is marked, and walked or about to be, in each use. */
  readonly #met: Readonly<Record<Use, Set<ChunkId>>> = {
    chunk: new Set(),
    tree: new Set(),
    map: new Set(),
    list: new Set(),
  }
  /** What has been walked for a root that may be let go; undefined when none is. */
  #walkedForRoot: { readonly id: ChunkId; readonly walk: Walk }[] | undefined
  #isSettled = true
  /** Small files that somebody wants to know about, as latin1 texts, and those that were seen. */
  readonly wantedInline: Set<string> = new Set()
  readonly seenInline: Set<string> = new Set()
  #chunkCount = 0
  #missingCount = 0
  #firstMissing: ChunkId | undefined

  /** @param marks that are closed; they are the marker's from then on. */
  constructor(
    chunks: ChunkStore,
    packs: PackCollection,
    pace: Pace,
    marks: MarkSet = new MarkSet(),
  ) {
    this.#marks = marks
    this.#chunkCount = marks.count()
    this.#chunks = chunks
    this.#packs = packs
    this.#pace = pace
  }

  get marks(): MarkSet {
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

  /**
   * To be called when all roots have been added: whether everything that is needed is among the marks,
   * which are closed then.
   */
  async settle(): Promise<boolean> {
    if (this.#drafted.size > 0) await this.#settleDrafted()
    return this.#isSettled && this.#missingCount === 0
  }

  /**
   * As `add` with `walk`; if it fails, the marks are as if what is below the root had not been looked
   * at.
   */
  async tryToAdd(root: CollectionRoot): Promise<void> {
    // What others need must not wait among what may be let go.
    await this.walk()
    this.#walkedForRoot = []
    try {
      await this.add(root)
      await this.walk()
    } catch (error) {
      this.#added.length = 0
      this.#pending.length = 0
      for (const { id, walk } of this.#walkedForRoot) await this.#unwalk(id, walk)
      throw error
    } finally {
      this.#walkedForRoot = undefined
    }
  }

  /**
   * What is below the root is marked at the latest by the next `walk`.
   * @throws {DataLossError} when what is below a node cannot be known.
   */
  async add(root: CollectionRoot): Promise<void> {
    this.#added.push(...chunksOf(root))
    if (this.#added.length < batchMax) return
    await this.#meetAdded()
    await this.#walkDownTo(batchMax)
  }

  /** Marks everything below the roots that have been added. @throws {DataLossError} as `add`. */
  async walk(): Promise<void> {
    await this.#meetAdded()
    await this.#walkDownTo(0)
  }

  /** Whether the chunk is among what has been added. */
  async has(id: ChunkId): Promise<boolean> {
    await this.walk()
    const place = await this.#packs.place(id)
    if (place === 'draft') return this.#drafted.has(id)
    if (place === undefined) return false
    return this.#marks.has(place)
  }

  async #meetAdded(): Promise<void> {
    await this.#meetAll([this.#added.splice(0)])
  }

  /** Reads nodes until fewer than `count` wait. */
  async #walkDownTo(count: number): Promise<void> {
    while (this.#pending.length > 0 && this.#pending.length >= count) {
      const batch = this.#pending.splice(-batchMax)
      try {
        await this.#meetAll(this.#referencesOf(batch, await this.#read(batch)))
      } catch (error) {
        if (!(error instanceof DataLossError)) throw error
        throw new DataLossError(
          `nothing was collected, because something that is needed cannot be read: ${error.message}`,
          { cause: error },
        )
      }
    }
  }

  async #read(batch: readonly WalkedChunk[]): Promise<readonly Uint8Array[]> {
    const ids = batch.map(({ id }) => id)
    if (this.#chunks.getMany !== undefined) return await this.#chunks.getMany(ids)
    return await Promise.all(ids.map((id) => this.#chunks.get(id)))
  }

  async *#referencesOf(
    batch: readonly WalkedChunk[],
    nodes: readonly Uint8Array[],
  ): AsyncGenerator<Iterable<MarkedChunk>> {
    const { wantedInline, seenInline } = this
    const onInline = (bytes: Uint8Array): void => {
      const text = Buffer.from(bytes).toString('latin1')
      if (wantedInline.has(text)) seenInline.add(text)
    }
    const watched = wantedInline.size > 0 ? onInline : undefined
    for (const [index, chunk] of batch.entries()) {
      const bytes = nodes[index] ?? none
      await this.#pace.keep(1 + bytes.length / stepBytes)
      yield referencesOf(chunk, bytes, watched)
    }
  }

  /** Marks what is new of these, and remembers to look below. */
  async #meetAll(
    groups: Iterable<Iterable<MarkedChunk>> | AsyncIterable<Iterable<MarkedChunk>>,
  ): Promise<void> {
    let unknown: MarkedChunk[] = []
    for await (const group of groups) {
      for (const chunk of group) {
        if (this.#met[chunk.use].has(chunk.id)) continue
        unknown.push(chunk)
        if (unknown.length < batchMax) continue
        await this.#meetSome(unknown)
        unknown = []
      }
    }
    await this.#meetSome(unknown)
  }

  async #meetSome(chunks: readonly MarkedChunk[]): Promise<void> {
    const places = await Promise.all(chunks.map(({ id }) => this.#packs.place(id)))
    for (const [index, chunk] of chunks.entries()) {
      await this.#pace.keep()
      const isNew = await this.#meet(chunk, places[index])
      if (isNew && chunk.use !== 'chunk') this.#pending.push(chunk)
    }
  }

  /** True the first time that it is met in this use. */
  async #meet(
    { id, use }: { readonly id: ChunkId; readonly use: Use },
    place: PlacedInPack | 'draft' | undefined,
  ): Promise<boolean> {
    if (place === 'draft') return await this.#meetDrafted(id, use)
    if (place === undefined) {
      // Of a node, reading it says so at once.
      this.#missingCount += 1
      this.#firstMissing ??= id
      return true
    }
    const isNew = this.#mark(place, use)
    if (isNew && use !== 'chunk') this.#walkedForRoot?.push({ id, walk: use })
    this.#noteMet(id, use)
    return isNew
  }

  #noteMet(id: ChunkId, use: Use): void {
    const met = this.#met[use]
    if (met.size >= metMax) met.clear()
    met.add(id)
  }

  #mark(place: PlacedInPack, use: Use): boolean {
    const isNew = this.#marks.keep(place)
    if (isNew) this.#chunkCount += 1
    return use === 'chunk' ? isNew : this.#marks.walk(use, place)
  }

  /** What is sealed from now on is spared anyway; the ids only say what has been looked at. */
  async #meetDrafted(id: ChunkId, use: Use): Promise<boolean> {
    const uses = this.#drafted.get(id)
    if (uses?.has(use) === true) return false
    if (uses === undefined && this.#drafted.size >= draftedMax) {
      await this.#settleDrafted()
      return await this.#meet({ id, use }, await this.#packs.place(id))
    }
    if (uses === undefined) this.#drafted.set(id, new Set([use]))
    else uses.add(use)
    if (use !== 'chunk') this.#walkedForRoot?.push({ id, walk: use })
    return true
  }

  /** Seals the packs of what was met in drafts, and marks it there. */
  async #settleDrafted(): Promise<void> {
    await this.#chunks.flush()
    const drafted = [...this.#drafted]
    this.#drafted.clear()
    for (const [id, uses] of drafted) {
      await this.#pace.keep()
      const place = await this.#packs.place(id)
      if (place === 'draft' || place === undefined) this.#isSettled = false
      else for (const use of uses) this.#mark(place, use)
    }
  }

  async #unwalk(id: ChunkId, walk: Walk): Promise<void> {
    this.#drafted.get(id)?.delete(walk)
    this.#met[walk].delete(id)
    const place = await this.#packs.place(id)
    if (place !== 'draft' && place !== undefined) this.#marks.unwalk(walk, place)
  }
}

function chunksOf(root: CollectionRoot): readonly MarkedChunk[] {
  switch (root.kind) {
    case 'tree':
    case 'map':
      return [{ use: root.kind, id: root.root }]
    case 'content':
      return chunksOfContent(root.content)
    case 'chunk':
      return [{ use: 'chunk', id: root.chunk }]
  }
}

function chunksOfContent(content: Content): readonly MarkedChunk[] {
  switch (content.kind) {
    case 'inline':
      return []
    case 'chunk':
      return [{ use: 'chunk', id: content.chunk }]
    case 'list':
      return [{ use: 'list', id: content.root, sizeBytes: content.sizeBytes }]
  }
}
