import { NotFoundError } from '../../base/errors.ts'
import { chunkIdBytes } from '../chunk-id.ts'
import type { ChunkId } from '../chunks.ts'
import type { ObjectKey, ObjectStore } from '../object-store.ts'
import { BytesCache } from '../bytes-cache.ts'
import {
  blockEntries,
  entryBytes,
  fenceBytes,
  findInBlock,
  findInFence,
  indexOffset,
  type PackEntry,
  packKey,
} from './format.ts'
import { Locator } from './locator.ts'

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

/**
 * Finds chunks in sealed packs. A table in memory names the pack, a block of that pack's own index,
 * read on demand and cached, the place in it.
 */
export class SealedPacks {
  readonly #objects: ObjectStore
  readonly #indexCache: BytesCache
  readonly #locatedChunksMax: number
  readonly #packs: SealedPack[] = []
  readonly #names = new Set<string>()
  readonly #lostPacks = new Set<string>()
  readonly #locator = new Locator()
  /** Packs beyond the table's bound, searched one after another, newest first. */
  readonly #unlocated: SealedPack[] = []

  constructor(
    objects: ObjectStore,
    bounds: { readonly indexCacheBytes: number; readonly locatedChunksMax: number },
  ) {
    this.#objects = objects
    this.#indexCache = new BytesCache(bounds.indexCacheBytes)
    this.#locatedChunksMax = bounds.locatedChunksMax
  }

  /** Names of listed packs that the object store turned out not to hold, or not the whole of. */
  get lostPacks(): ReadonlySet<string> {
    return this.#lostPacks
  }

  /** @param fingerprints of all its chunks, as in the table `packs`. */
  add(pack: SealedPack, fingerprints: Uint8Array): void {
    if (this.#names.has(pack.name)) return
    this.#names.add(pack.name)
    if (this.#locator.count + pack.chunkCount > this.#locatedChunksMax) {
      this.#unlocated.unshift(pack)
      return
    }
    this.#packs.push(pack)
    this.#locator.addAll(fingerprints, this.#packs.length - 1)
  }

  /** False when no pack that the table covers holds it: then a put need not look further. */
  mayHold(id: ChunkId): boolean {
    return this.#locator.packsOf(id).length > 0
  }

  /** The place of `id`. With `everywhere`, also in packs that the table does not cover. */
  async find(
    id: ChunkId,
    options: { readonly everywhere: boolean },
  ): Promise<FoundChunk | undefined> {
    const wanted = chunkIdBytes(id)
    for (const number of this.#locator.packsOf(id)) {
      const pack = this.#packs[number]
      const entry = pack === undefined ? undefined : await this.#findIn(pack, wanted)
      if (pack !== undefined && entry !== undefined) {
        return { pack, key: packKey(pack.name), entry }
      }
    }
    if (!options.everywhere) return undefined
    for (const pack of this.#unlocated) {
      const entry = await this.#findIn(pack, wanted)
      if (entry !== undefined) return { pack, key: packKey(pack.name), entry }
    }
    return undefined
  }

  /** Undefined also when the pack itself is gone or cut short: then a put stores the chunk anew. */
  async #findIn(pack: SealedPack, id: Uint8Array): Promise<PackEntry | undefined> {
    try {
      return await this.#findInIndex(pack, id)
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error
      this.#lostPacks.add(pack.name)
      return undefined
    }
  }

  async #findInIndex(pack: SealedPack, id: Uint8Array): Promise<PackEntry | undefined> {
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
    return findInBlock(bytes, id, start, `pack ${pack.name}`)
  }

  async #read(pack: SealedPack, offset: number, length: number): Promise<Uint8Array> {
    const name = `${pack.name} ${offset}`
    const cached = this.#indexCache.get(name)
    if (cached !== undefined) return cached
    const bytes = await this.#objects.get(packKey(pack.name), offset, length)
    if (bytes.length < length) throw new NotFoundError(`pack ${pack.name} is cut short`)
    this.#indexCache.set(name, bytes)
    return bytes
  }
}
