import { DataLossError } from '../../base/errors.ts'
import { listReferences } from '../chunk-lists/list-reader.ts'
import type { ChunkId, ChunkStore, ChunkUse } from '../chunks.ts'
import type { CollectionRoot } from '../collection-roots.ts'
import type { Content } from '../contents.ts'
import { FileTrees } from '../file-trees.ts'
import type { PackCollection, PlacedInPack } from '../packs/pack-collection.ts'
import { ProllyMaps } from '../prolly-map.ts'
import { MarkSet, type Walk } from './marks.ts'
import type { Pace } from './pace.ts'

/** Of decoded nodes. Each is read once, so keeping them gains little. */
const cacheBytesMax = 2 * 1024 * 1024
/** Chunks that are not in sealed packs yet and are remembered by id; then they are flushed. */
const draftedMax = 20_000

type Use = 'chunk' | Walk

/** Finds every chunk that roots keep, each once, and marks it in its pack. */
export class Marker {
  readonly #chunks: ChunkStore
  readonly #packs: PackCollection
  readonly #pace: Pace
  readonly #trees: FileTrees
  readonly #maps: ProllyMaps
  readonly #marks: MarkSet
  /** As what each has been met. */
  readonly #drafted = new Map<ChunkId, Set<Use>>()
  readonly #isNew = (id: ChunkId, use: ChunkUse): Promise<boolean> =>
    this.#meet(id, use === 'node' ? 'tree' : use)
  readonly #isNewInMap = (id: ChunkId): Promise<boolean> => this.#meet(id, 'map')
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
    this.#trees = new FileTrees(chunks, { cacheBytesMax })
    this.#maps = new ProllyMaps(chunks, { cacheBytesMax })
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

  /** As `add`; if it fails, the marks are as if what is below the root had not been looked at. */
  async tryToAdd(root: CollectionRoot): Promise<void> {
    this.#walkedForRoot = []
    try {
      await this.add(root)
    } catch (error) {
      for (const { id, walk } of this.#walkedForRoot) await this.#unwalk(id, walk)
      throw error
    } finally {
      this.#walkedForRoot = undefined
    }
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
    return this.#marks.has(place)
  }

  async #add(root: CollectionRoot): Promise<void> {
    switch (root.kind) {
      case 'tree':
        return await this.#addTree(root.root)
      case 'map':
        for await (const _ of this.#maps.newNodes(root.root, this.#isNewInMap))
          await this.#pace.keep()
        return
      case 'content':
        return await this.#addContent(root.content)
      case 'chunk':
        await this.#meet(root.chunk, 'chunk')
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
    if (content.kind === 'chunk') await this.#meet(content.chunk, 'chunk')
    if (content.kind !== 'list' || !(await this.#meet(content.root, 'list'))) return
    await this.#addList({ id: content.root, sizeBytes: content.sizeBytes })
  }

  async #addList(list: { readonly id: ChunkId; readonly sizeBytes: number }): Promise<void> {
    for await (const _ of listReferences(this.#chunks, list, this.#isNew)) await this.#pace.keep()
  }

  /** True the first time that it is met in this use. */
  async #meet(id: ChunkId, use: Use): Promise<boolean> {
    const place = await this.#packs.place(id)
    if (place === 'draft') return await this.#meetDrafted(id, use)
    if (place === undefined) {
      // Of a node, reading it says so at once.
      this.#missingCount += 1
      this.#firstMissing ??= id
      return true
    }
    const isNew = this.#mark(place, use)
    if (isNew && use !== 'chunk') this.#walkedForRoot?.push({ id, walk: use })
    return isNew
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
      return await this.#meet(id, use)
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
    const place = await this.#packs.place(id)
    if (place !== 'draft' && place !== undefined) this.#marks.unwalk(walk, place)
  }
}
