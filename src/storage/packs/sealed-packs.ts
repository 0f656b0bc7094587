import { DataLossError, NotFoundError } from '../../base/errors.ts'
import { inParallel } from '../../base/parallel.ts'
import { chunkIdBytes } from '../chunk-id.ts'
import type { ChunkId } from '../chunks.ts'
import type { ObjectKey, ObjectStore } from '../object-store.ts'
import { BytesCache } from './bytes-cache.ts'
import {
  blockEntries,
  entryAt,
  entryBytes,
  fenceBytes,
  findInFence,
  indexInBlock,
  indexOffset,
  isPackName,
  type PackEntry,
  packKey,
} from './format.ts'
import { Locator } from './locator.ts'
import type { DamagedChunks } from './damaged-chunks.ts'
import type { RecentPuts } from './recent-puts.ts'

export interface SealedPack {
  readonly name: string
  readonly sizeBytes: number
  readonly chunkCount: number
}

export interface FoundChunk {
  readonly pack: SealedPack
  readonly key: ObjectKey
  readonly entry: PackEntry
}

/** A chunk with the number that it has in its pack's index. */
export interface LocatedChunk extends FoundChunk {
  readonly index: number
}

/** Where a chunk is, or which listed packs should hold it, by the table, and do not. */
export type ChunkPlace =
  | ({ readonly kind: 'found' } & LocatedChunk)
  | { readonly kind: 'absent'; readonly candidates: readonly SealedPack[] }

function noneIsLost(): boolean {
  return false
}

/** Where a chunk is in a pack's index. */
export interface PlacedInPack {
  readonly pack: SealedPack
  readonly index: number
}

interface Place {
  readonly index: number
  readonly entry: PackEntry
}

/** For so many chunks of one pack, its whole index is read rather than blocks of it. */
const wholeIndexChunksMin = 32

/** Packs whose indexes are read at once. */
const packsAtOnceMax = 16

/** Chunks of which it is remembered where a put found them. */
const foundChunksMax = 1024

/** So many chunks of forgotten packs are left in the table before it is made anew. */
const forgottenChunksMin = 4096

/**
 * Finds chunks in sealed packs. A table in memory names the pack, a block of that pack's own index,
 * read on demand and cached, the place in it.
 */
export class SealedPacks {
  readonly #objects: ObjectStore
  readonly #indexCache: BytesCache
  /** Blocks of indexes that are being read. */
  readonly #reads = new Map<string, Promise<Uint8Array>>()
  readonly #locatedChunksMax: number
  readonly #recent: RecentPuts
  /** Copies of chunks that are known not to be whole. */
  readonly damage: DamagedChunks
  /** By the number that the table has for each; undefined where one was forgotten. */
  readonly #packs: (SealedPack | undefined)[] = []
  readonly #numbers = new Map<string, number>()
  readonly #byName = new Map<string, SealedPack>()
  readonly #lostPacks = new Set<string>()
  /** How often the index of a pack was to be read anew; in the names of what is cached of it. */
  readonly #readings = new Map<string, number>()
  /** Packs that are about to go: still read, but no put relies on them any more. */
  readonly #retired = new Set<string>()
  readonly #locator = new Locator()
  /** Where puts found chunks of late: what datums write is often the same. */
  readonly #found = new Map<ChunkId, PlacedInPack>()
  #forgottenChunkCount = 0
  #forgetCount = 0
  /** Packs beyond the table's bound, searched one after another, newest first. */
  #unlocated: SealedPack[] = []

  constructor(
    objects: ObjectStore,
    recent: RecentPuts,
    damage: DamagedChunks,
    bounds: { readonly indexCacheBytes: number; readonly locatedChunksMax: number },
  ) {
    this.#objects = objects
    this.#recent = recent
    this.damage = damage
    this.#indexCache = new BytesCache(bounds.indexCacheBytes)
    this.#locatedChunksMax = bounds.locatedChunksMax
  }

  /** Names of listed packs that are missing, cut short or damaged, as it turned out. */
  get lostPacks(): ReadonlySet<string> {
    return this.#lostPacks
  }

  /** How often a pack was forgotten: a list of packs that was read meanwhile may be out of date. */
  get forgetCount(): number {
    return this.#forgetCount
  }

  all(): readonly SealedPack[] {
    return [...this.#byName.values()]
  }

  has(name: string): boolean {
    return this.#byName.has(name)
  }

  /** @param fingerprints of all its chunks, as in the table `packs`. */
  add(pack: SealedPack, fingerprints: Uint8Array): void {
    // No object can have such a name, so nothing is found in it.
    if (this.#byName.has(pack.name) || !isPackName(pack.name)) return
    this.#byName.set(pack.name, pack)
    if (this.#locator.count + pack.chunkCount > this.#locatedChunksMax) {
      this.#unlocated.unshift(pack)
      return
    }
    this.#packs.push(pack)
    this.#numbers.set(pack.name, this.#packs.length - 1)
    this.#locator.addAll(fingerprints, this.#packs.length - 1)
  }

  /** From now on no put relies on this copy of a chunk. */
  async noteDamaged(pack: SealedPack, index: number): Promise<void> {
    if (this.#byName.has(pack.name)) await this.damage.note(pack, index)
  }

  /**
   * Whether what is stored under the name is not the pack that has it: one with the same chunks in the
   * same places must be given another name, for the object that is there would stand.
   */
  async isTaken(name: string): Promise<boolean> {
    if (this.damage.of(name) !== undefined) return true
    if (!this.#lostPacks.has(name)) return false
    try {
      await this.#objects.sizeBytes(packKey(name))
      return true
    } catch (error) {
      if (error instanceof NotFoundError) return false
      throw error
    }
  }

  /** From now on no put relies on the pack, until it is forgotten or `restore` takes it back. */
  retire(name: string): void {
    this.#retired.add(name)
  }

  restore(name: string): void {
    this.#retired.delete(name)
  }

  /** The pack is not listed any more. */
  forget(name: string): void {
    const pack = this.#byName.get(name)
    if (pack === undefined) return
    this.#forgetCount += 1
    this.#byName.delete(name)
    this.#retired.delete(name)
    this.#lostPacks.delete(name)
    this.damage.forget(name)
    this.#readings.delete(name)
    if (this.#unlocated.length > 0) {
      this.#unlocated = this.#unlocated.filter((other) => other !== pack)
    }
    const number = this.#numbers.get(name)
    if (number === undefined) return
    this.#numbers.delete(name)
    this.#packs[number] = undefined
    this.#forgottenChunkCount += pack.chunkCount
    if (this.#forgottenChunkCount < forgottenChunksMin + this.#locator.count / 4) return
    this.#locator.sweep((other) => this.#packs[other] !== undefined)
    this.#forgottenChunkCount = 0
  }

  /** False when no pack that the table covers holds it: then a put need not look further. */
  mayHold(id: ChunkId): boolean {
    return this.#locator.packsOf(id).some((number) => this.#packs[number] !== undefined)
  }

  /**
   * Every place of `id`, also in packs that the table does not cover: mostly one. Copies that are
   * known to be damaged come last.
   */
  async *placesOf(id: ChunkId): AsyncGenerator<LocatedChunk> {
    const damaged: LocatedChunk[] = []
    for await (const { pack, entry, index } of this.#places(id, { everywhere: true })) {
      const found = { pack, key: packKey(pack.name), entry, index }
      if (this.damage.has(pack.name, index)) damaged.push(found)
      else yield found
    }
    yield* damaged
  }

  /** Packs that may hold `id` are read anew: somebody may have put them back. */
  async refreshPacksOf(id: ChunkId): Promise<void> {
    const located = this.#locator.packsOf(id).flatMap((number) => this.#packs[number] ?? [])
    for (const { name } of [...located, ...this.#unlocated]) await this.refresh(name)
  }

  /** The index of the pack is read anew. */
  async refresh(name: string): Promise<void> {
    this.#readings.set(name, (this.#readings.get(name) ?? 0) + 1)
    await this.#objects.refresh(packKey(name))
  }

  /**
   * The places of many chunks, as far as the table leads to them and their packs can be read: the
   * others are to be looked for one by one.
   */
  async findMany(ids: Iterable<ChunkId>): Promise<ReadonlyMap<ChunkId, FoundChunk>> {
    const byPack = new Map<SealedPack, ChunkId[]>()
    for (const id of ids) {
      for (const number of this.#locator.packsOf(id)) {
        const pack = this.#packs[number]
        if (pack === undefined) continue
        const others = byPack.get(pack)
        if (others === undefined) byPack.set(pack, [id])
        else others.push(id)
      }
    }
    const found = new Map<ChunkId, FoundChunk>()
    await inParallel(byPack, packsAtOnceMax, ([pack, wanted]) =>
      this.#findAllIn(pack, wanted, found),
    )
    return found
  }

  /** Where `id` is in the index of a pack. */
  async place(id: ChunkId): Promise<PlacedInPack | undefined> {
    for await (const { pack, index } of this.placesOf(id)) return { pack, index }
    return undefined
  }

  /** Whether a put can rely on a pack that holds `id`; from then on it is kept for it. */
  async findForPut(id: ChunkId): Promise<boolean> {
    let isDamaged = false
    for await (const { pack, index } of this.#places(id, { everywhere: false })) {
      // At once, so that no pack retires between the look and the note.
      if (this.#retired.has(pack.name) || !this.#byName.has(pack.name)) continue
      if (this.damage.has(pack.name, index)) {
        isDamaged = true
        continue
      }
      this.#recent.noteFound(pack, index)
      if (this.#found.size >= foundChunksMax) this.#found.clear()
      this.#found.set(id, { pack, index })
      return true
    }
    if (isDamaged) this.damage.noteReplaced()
    return false
  }

  /** As `findForPut`, at once; true only for a chunk that was found lately. */
  findAgainForPut(id: ChunkId): boolean {
    const place = this.#found.get(id)
    if (place === undefined) return false
    const { pack, index } = place
    const { name } = pack
    const isGone =
      this.#byName.get(name) !== pack || this.#retired.has(name) || this.#lostPacks.has(name)
    if (isGone || this.damage.has(name, index)) {
      this.#found.delete(id)
      return false
    }
    this.#recent.noteFound(pack, index)
    return true
  }

  /** The whole index of a pack, as `decodeIndex` takes it. @throws {NotFoundError} */
  async readIndex(pack: SealedPack): Promise<{ readonly bytes: Uint8Array; readonly end: number }> {
    const end = indexOffset(pack.sizeBytes, pack.chunkCount)
    const length = pack.chunkCount * entryBytes
    const bytes = await this.#objects.get(packKey(pack.name), end, length)
    if (bytes.length < length) throw new NotFoundError(`pack ${pack.name} is cut short`)
    return { bytes, end }
  }

  async *#places(
    id: ChunkId,
    options: { readonly everywhere: boolean },
  ): AsyncGenerator<Place & { readonly pack: SealedPack }> {
    const wanted = chunkIdBytes(id)
    for (const number of this.#locator.packsOf(id)) {
      const pack = this.#packs[number]
      const place = pack === undefined ? undefined : await this.#findIn(pack, wanted)
      if (pack !== undefined && place !== undefined) yield { pack, ...place }
    }
    if (!options.everywhere) return
    for (const pack of this.#unlocated) {
      const place = await this.#findIn(pack, wanted)
      if (place !== undefined) yield { pack, ...place }
    }
  }

  /**
   * Takes what the table `packs` now says of a pack that it said something else of before. Chunks of
   * packs beyond the bound of the table in memory are found as before.
   */
  replace(pack: SealedPack, fingerprints: Uint8Array): void {
    if (!this.#byName.has(pack.name)) {
      this.add(pack, fingerprints)
      return
    }
    const number = this.#numbers.get(pack.name)
    this.#byName.set(pack.name, pack)
    const unlocated = this.#unlocated.findIndex(({ name }) => name === pack.name)
    if (unlocated >= 0) this.#unlocated[unlocated] = pack
    if (number === undefined) return
    this.#packs[number] = pack
    this.#locator.addAll(fingerprints, number)
  }

  /**
   * As `find`, everywhere. A pack that cannot be read, or of which `isLost` says so though it may
   * still be open, is one that does not hold the chunk. Looks again when a pack was forgotten
   * meanwhile: its successor has what is needed.
   */
  async locate(
    id: ChunkId,
    isLost: (pack: SealedPack) => boolean = noneIsLost,
  ): Promise<ChunkPlace> {
    for (;;) {
      const { forgetCount } = this
      const place = await this.#locateOnce(id, isLost)
      if (place.kind === 'found' || forgetCount === this.forgetCount) return place
    }
  }

  async #locateOnce(id: ChunkId, isLost: (pack: SealedPack) => boolean): Promise<ChunkPlace> {
    const wanted = chunkIdBytes(id)
    const candidates: SealedPack[] = []
    let damaged: LocatedChunk | undefined
    const located = this.#locator.packsOf(id).flatMap((number) => this.#packs[number] ?? [])
    for (const pack of [...located, ...this.#unlocated]) {
      const place = isLost(pack) ? undefined : await this.#findReadable(pack, wanted)
      if (place !== undefined) {
        const found = { pack, key: packKey(pack.name), ...place }
        if (!this.damage.has(pack.name, place.index)) return { kind: 'found', ...found }
        damaged ??= found
      } else if (located.includes(pack)) candidates.push(pack)
    }
    if (damaged !== undefined) return { kind: 'found', ...damaged }
    return { kind: 'absent', candidates }
  }

  async #findReadable(pack: SealedPack, id: Uint8Array): Promise<Place | undefined> {
    try {
      return await this.#findInIndex(pack, id)
    } catch (error) {
      if (error instanceof NotFoundError || error instanceof DataLossError) return undefined
      throw error
    }
  }

  async #findAllIn(
    pack: SealedPack,
    wanted: readonly ChunkId[],
    found: Map<ChunkId, FoundChunk>,
  ): Promise<void> {
    const key = packKey(pack.name)
    if (wanted.length < wholeIndexChunksMin) {
      for (const id of wanted) {
        const place = await this.#findIn(pack, chunkIdBytes(id))
        if (place === undefined || this.damage.has(pack.name, place.index)) continue
        found.set(id, { pack, key, entry: place.entry })
      }
      return
    }
    const start = indexOffset(pack.sizeBytes, pack.chunkCount)
    const index = await this.#readable(pack, () =>
      this.#read(pack, start, pack.chunkCount * entryBytes),
    )
    if (index === undefined) return
    const what = `pack ${pack.name}`
    for (const id of wanted) {
      const at = indexInBlock(index, chunkIdBytes(id))
      if (at === undefined || this.damage.has(pack.name, at)) continue
      found.set(id, { pack, key, entry: entryAt(index, at, start, what) })
    }
  }

  /** Undefined also when the pack is gone, cut short or damaged: then a put stores the chunk anew. */
  async #findIn(pack: SealedPack, id: Uint8Array): Promise<Place | undefined> {
    return this.#readable(pack, () => this.#findInIndex(pack, id))
  }

  /** What `read` gives, or undefined when the pack is gone or cut short, which is then known. */
  async #readable<Result>(
    pack: SealedPack,
    read: () => Promise<Result>,
  ): Promise<Result | undefined> {
    try {
      const result = await read()
      this.#lostPacks.delete(pack.name)
      return result
    } catch (error) {
      if (!(error instanceof NotFoundError || error instanceof DataLossError)) throw error
      if (this.#byName.has(pack.name)) this.#lostPacks.add(pack.name)
      return undefined
    }
  }

  async #findInIndex(pack: SealedPack, id: Uint8Array): Promise<Place | undefined> {
    let block = 0
    const start = indexOffset(pack.sizeBytes, pack.chunkCount)
    if (pack.chunkCount > blockEntries) {
      const fenceStart = start + pack.chunkCount * entryBytes
      const fence = await this.#read(pack, fenceStart, fenceBytes(pack.chunkCount))
      block = findInFence(fence, id)
      if (block < 0) return undefined
    }
    const first = block * blockEntries
    const count = Math.min(blockEntries, pack.chunkCount - first)
    const bytes = await this.#read(pack, start + first * entryBytes, count * entryBytes)
    const index = indexInBlock(bytes, id)
    if (index === undefined) return undefined
    return { index: first + index, entry: entryAt(bytes, index, start, `pack ${pack.name}`) }
  }

  async #read(pack: SealedPack, offset: number, length: number): Promise<Uint8Array> {
    const name = `${pack.name} ${this.#readings.get(pack.name) ?? 0} ${offset} ${length}`
    const cached = this.#indexCache.get(name)
    if (cached !== undefined) return cached
    const running = this.#reads.get(name)
    if (running !== undefined) return await running
    const read = this.#readPiece(pack, offset, length)
    this.#reads.set(name, read)
    try {
      const bytes = await read
      this.#indexCache.set(name, bytes)
      return bytes
    } finally {
      this.#reads.delete(name)
    }
  }

  async #readPiece(pack: SealedPack, offset: number, length: number): Promise<Uint8Array> {
    const bytes = await this.#objects.get(packKey(pack.name), offset, length)
    if (bytes.length < length) throw new NotFoundError(`pack ${pack.name} is cut short`)
    return bytes
  }
}
