/** Packs that are held in memory whole: 40 MiB at most. */

import { createHash } from 'node:crypto'
import { equalBytes } from '../base/bytes.ts'
import { DataLossError } from '../base/errors.ts'
import { chunkIdOf } from './chunk-id.ts'
import type { ChunkId } from './chunks.ts'
import { checkedChunk } from './packs/checked-chunk.ts'
import { encodeChunk } from './packs/compression.ts'
import {
  decodeIndex,
  decodeTrailer,
  encodeFooter,
  sortedById,
  entryBytes,
  headerBytes,
  type IndexedChunk,
  packBytesTarget,
  packChunksMax,
  packHeader,
  trailerBytes,
} from './packs/format.ts'
import { countBits, newChunkBits, setBit } from './packs/recent-puts.ts'

export { isPackName, packKey } from './packs/format.ts'
export { saveDamage } from './packs/stored-packs.ts'

/** No pack is larger. */
export const packBytesMax: number = 40 * 1024 * 1024

/** A pack as its bytes. */
export interface WholePack {
  readonly name: string
  readonly bytes: Uint8Array
  readonly chunkCount: number
}

/** A pack that grows in memory. */
export class PackBuilder {
  readonly #parts: Uint8Array[] = [packHeader()]
  readonly #chunks = new Map<ChunkId, IndexedChunk>()
  #end = headerBytes

  get isEmpty(): boolean {
    return this.#chunks.size === 0
  }

  get isFull(): boolean {
    return this.#end >= packBytesTarget || this.#chunks.size >= packChunksMax
  }

  /** `bytes` are the pack's from then on. */
  add(bytes: Uint8Array): ChunkId {
    const id = chunkIdOf(bytes)
    if (this.#chunks.has(id)) return id
    const { stored, encoding } = encodeChunk(bytes)
    const storedBytes = stored.length
    const entry = { id, offset: this.#end, storedBytes, rawBytes: bytes.length, encoding }
    this.#chunks.set(id, entry)
    this.#parts.push(stored)
    this.#end += storedBytes
    return id
  }

  /** @returns the pack; it must not be empty. */
  finish(): WholePack {
    const sorted = sortedById([...this.#chunks.values()])
    const footer = encodeFooter(sorted, this.#end)
    const bytes = Buffer.concat([...this.#parts, footer.bytes])
    return { name: footer.name, bytes, chunkCount: sorted.length }
  }
}

/** The chunks of a pack, in the order in which they lie there. @throws {DataLossError} */
export async function* chunksOfPack(
  name: string,
  bytes: Uint8Array,
): AsyncGenerator<{ readonly id: ChunkId; readonly bytes: Uint8Array }> {
  const what = `pack ${name}`
  for (const entry of indexOf(name, bytes)) {
    const { id, offset, storedBytes } = entry
    const stored = bytes.subarray(offset, offset + storedBytes)
    yield { id, bytes: await checkedChunk(id, stored, entry, what) }
  }
}

/** What is wrong with a pack, in one sentence each, of ten at most; nothing when it is whole. */
export async function damageOfPack(
  name: string,
  bytes: Uint8Array,
  pause: () => Promise<void> | undefined,
): Promise<readonly string[]> {
  const what = `pack ${name}`
  let entries: readonly IndexedChunk[]
  try {
    entries = indexOf(name, bytes)
  } catch (error) {
    if (error instanceof DataLossError) return [error.message]
    throw error
  }
  const damage: string[] = []
  if (!equalBytes(bytes.subarray(0, headerBytes), packHeader())) {
    damage.push(`${what}: its header is damaged`)
  }
  const trailer = bytes.subarray(bytes.length - trailerBytes)
  // Bytes that nothing reads, and that are 0.
  if ([...trailer.subarray(12, 16), ...trailer.subarray(48, 56)].some((byte) => byte !== 0)) {
    damage.push(`${what}: its trailer is damaged`)
  }
  for (const entry of entries) {
    await pause()
    const { id, offset, storedBytes } = entry
    try {
      await checkedChunk(id, bytes.subarray(offset, offset + storedBytes), entry, what)
    } catch (error) {
      if (!(error instanceof DataLossError)) throw error
      damage.push(error.message)
      if (damage.length >= damageCountMax) return damage
    }
  }
  return damage
}

const damageCountMax = 10

/**
 * Which chunks of a pack are damaged, a bit for each by its place in the index, as `saveDamage` takes them;
 * undefined when none is, or when the index is, which nobody can miss.
 */
export async function damagedChunksOf(
  name: string,
  bytes: Uint8Array,
): Promise<Uint8Array | undefined> {
  const what = `pack ${name}`
  let entries: readonly IndexedChunk[]
  try {
    entries = indexOf(name, bytes)
  } catch (error) {
    if (error instanceof DataLossError) return undefined
    throw error
  }
  const bits = newChunkBits(entries.length)
  const byId = entries.toSorted((left, right) => (left.id < right.id ? -1 : 1))
  for (const [index, entry] of byId.entries()) {
    const { id, offset, storedBytes } = entry
    try {
      await checkedChunk(id, bytes.subarray(offset, offset + storedBytes), entry, what)
    } catch (error) {
      if (!(error instanceof DataLossError)) throw error
      setBit(bits, index)
    }
  }
  return countBits(bits) === 0 ? undefined : bits
}

/** By offset. @throws {DataLossError} when they are not those of the pack `name`. */
function indexOf(name: string, bytes: Uint8Array): readonly IndexedChunk[] {
  const what = `pack ${name}`
  const trailer = decodeTrailer(bytes, bytes.length, what)
  const { dataEnd, chunkCount } = trailer
  const indexAndFence = bytes.subarray(dataEnd, bytes.length - trailerBytes)
  const digest = createHash('sha256').update(indexAndFence).digest('hex')
  if (digest === trailer.name && digest !== name) {
    throw new DataLossError(`${what}: it is the pack ${digest}, under a wrong name`)
  }
  if (digest !== name || trailer.name !== name) {
    throw new DataLossError(`${what}: its index is damaged`)
  }
  const index = indexAndFence.subarray(0, chunkCount * entryBytes)
  return [...decodeIndex(index, dataEnd, what)].toSorted(
    (left, right) => left.offset - right.offset,
  )
}
