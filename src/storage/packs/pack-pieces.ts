import { concatBytes, copyBytes } from '../../base/bytes.ts'
import { BytesCache } from './bytes-cache.ts'
import type { ObjectKey, ObjectStore } from '../object-store.ts'

/** So much is read at once where small pieces are read one after the other. */
const blockBytes = 64 * 1024
/** Larger pieces are read as they are. */
const smallBytesMax = 16 * 1024
/** Packs of which the place of the last read is known. */
const placesMax = 64

/**
 * Reads pieces of packs. What was put together lies together and is often read together: small pieces
 * that follow each other come out of larger blocks, which are kept for a while.
 */
export class PackPieces {
  readonly #objects: ObjectStore
  readonly #blocks: BytesCache
  readonly #readsBlocks: boolean
  readonly #reads = new Map<string, Promise<Uint8Array>>()
  /** By pack: the block of the last read, the most recent one last. */
  readonly #places = new Map<ObjectKey, number>()

  constructor(objects: ObjectStore, cacheBytes: number) {
    this.#objects = objects
    this.#blocks = new BytesCache(cacheBytes)
    this.#readsBlocks = cacheBytes >= 4 * blockBytes
  }

  /** As `ObjectStore.get`; the bytes are the caller's. */
  async get(key: ObjectKey, offset: number, length: number): Promise<Uint8Array> {
    const first = Math.floor(offset / blockBytes)
    const last = Math.floor((offset + length - 1) / blockBytes)
    if (!this.#isNext(key, first, last) || length > smallBytesMax) {
      return await this.#objects.get(key, offset, length)
    }
    const start = offset - first * blockBytes
    const head = await this.#block(key, first)
    if (last === first) return copyBytes(head.subarray(start, start + length))
    const tail = await this.#block(key, last)
    return concatBytes([head.subarray(start), tail.subarray(0, start + length - blockBytes)])
  }

  /** Reads anew from now on; a block may have been damaged when it was read. */
  forget(key: ObjectKey, offset: number): void {
    this.#blocks.delete(nameOf(key, Math.floor(offset / blockBytes)))
    this.#places.delete(key)
  }

  /** Whether the blocks from `first` to `last` are where the last read of the pack was, or right after. */
  #isNext(key: ObjectKey, first: number, last: number): boolean {
    if (!this.#readsBlocks) return false
    const place = this.#places.get(key)
    // A map keeps the order of insertion.
    if (place !== undefined) this.#places.delete(key)
    this.#places.set(key, last)
    if (this.#places.size > placesMax) {
      const [oldest] = this.#places.keys()
      if (oldest !== undefined) this.#places.delete(oldest)
    }
    return place === first || place === first - 1
  }

  async #block(key: ObjectKey, index: number): Promise<Uint8Array> {
    const name = nameOf(key, index)
    const cached = this.#blocks.get(name)
    if (cached !== undefined) return cached
    const read = this.#reads.get(name) ?? this.#objects.get(key, index * blockBytes, blockBytes)
    this.#reads.set(name, read)
    try {
      const bytes = await read
      this.#blocks.set(name, bytes)
      return bytes
    } finally {
      this.#reads.delete(name)
    }
  }
}

function nameOf(key: ObjectKey, index: number): string {
  return `${key} ${index}`
}
