import { equalBytes } from '../../base/bytes.ts'
import { type ChunkBits, countBits, hasBit, newChunkBits, setBit } from './recent-puts.ts'

interface DamagedPack {
  readonly name: string
  readonly chunkCount: number
}

/** Where it is written which chunks of a pack are damaged; `undefined` when none is any more. */
export type SaveDamage = (pack: string, chunks: ChunkBits | undefined) => Promise<void>

/**
 * Copies of chunks whose bytes turned out not to be what was stored, by pack and place in its index:
 * no put relies on them, and whoever looks for the chunk takes another copy first. One bit for each
 * chunk of a pack that has any. A copy that is read whole again (its pack was put back) is forgotten.
 */
export class DamagedChunks {
  readonly #bits = new Map<string, ChunkBits>()
  readonly #save: SaveDamage
  #replacedCount = 0

  /** @param found by earlier processes. */
  constructor(save: SaveDamage, found: Iterable<readonly [string, ChunkBits]> = []) {
    this.#save = save
    for (const [pack, chunks] of found) this.#bits.set(pack, Uint8Array.from(chunks))
  }

  get isEmpty(): boolean {
    return this.#bits.size === 0
  }

  /** How often a chunk was stored afresh because the copy that was there is damaged. */
  get replacedCount(): number {
    return this.#replacedCount
  }

  noteReplaced(): void {
    this.#replacedCount += 1
  }

  has(pack: string, index: number): boolean {
    const bits = this.#bits.get(pack)
    return bits !== undefined && hasBit(bits, index)
  }

  of(pack: string): ChunkBits | undefined {
    return this.#bits.get(pack)
  }

  /** Known at once, and over a restart when it resolves, unless the metadata cannot be written. */
  async note(pack: DamagedPack, index: number): Promise<void> {
    const bits = this.#bits.get(pack.name) ?? newChunkBits(pack.chunkCount)
    if (!setBit(bits, index)) return
    this.#bits.set(pack.name, bits)
    await this.#write(pack.name)
  }

  /** The copy was read whole. */
  async clear(pack: DamagedPack, index: number): Promise<void> {
    const bits = this.#bits.get(pack.name)
    if (bits === undefined || !hasBit(bits, index)) return
    const left = Uint8Array.from(bits)
    left[index >>> 3] = (left[index >>> 3] ?? 0) & ~(1 << (index & 7))
    await this.set(pack, left)
  }

  /** All of the pack has been read: these are damaged, and no others. */
  async set({ name }: DamagedPack, damaged: ChunkBits): Promise<void> {
    const before = this.#bits.get(name)
    if (countBits(damaged) === 0) {
      if (!this.#bits.delete(name)) return
    } else {
      if (before !== undefined && equalBytes(before, damaged)) return
      this.#bits.set(name, damaged)
    }
    await this.#write(name)
  }

  /** The pack is not listed any more; whoever took it off the list has removed its row. */
  forget(name: string): void {
    this.#bits.delete(name)
  }

  async #write(name: string): Promise<void> {
    const bits = this.#bits.get(name)
    try {
      await this.#save(name, bits && Uint8Array.from(bits))
    } catch {
      // It is known until the end of this process, and found again after it; what is told to
      // the caller is the damage.
    }
  }
}
