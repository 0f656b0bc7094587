import type { Marks, Moved, PlacedInPack } from '../packs/pack-collection.ts'
import { type ChunkBits, countBits, hasBit, newChunkBits, setBit } from '../packs/recent-puts.ts'

/** As what a chunk is walked: what is below it is found in another way for each. */
export type Walk = 'tree' | 'map' | 'list'

const walks: readonly Walk[] = ['tree', 'map', 'list']

/** Chunks by their places, one bit each. */
class PlaceSet {
  readonly packs = new Map<string, ChunkBits>()

  has({ pack, index }: PlacedInPack): boolean {
    const bits = this.packs.get(pack.name)
    return bits !== undefined && hasBit(bits, index)
  }

  /** False when it was there. */
  add({ pack, index }: PlacedInPack): boolean {
    const bits = this.packs.get(pack.name) ?? newChunkBits(pack.chunkCount)
    this.packs.set(pack.name, bits)
    return setBit(bits, index)
  }

  remove({ pack, index }: PlacedInPack): void {
    const bits = this.packs.get(pack.name)
    if (bits !== undefined) bits[index >>> 3] = (bits[index >>> 3] ?? 0) & ~(1 << (index & 7))
  }
}

/**
 * What a collection has found to be needed, by place: one bit for each chunk that is kept, and one for
 * each way in which what is below it was walked. The same bytes may be a file and a node of a
 * directory: that the file was met says nothing of what the directory keeps.
 *
 * Once all roots have been walked it is *closed*: what is below a chunk that was walked is kept.
 */
export class MarkSet {
  readonly #kept = new PlaceSet()
  readonly #walked: Readonly<Record<Walk, PlaceSet>> = {
    tree: new PlaceSet(),
    map: new PlaceSet(),
    list: new PlaceSet(),
  }

  get kept(): Marks {
    return this.#kept.packs
  }

  has(place: PlacedInPack): boolean {
    return this.#kept.has(place)
  }

  /** True the first time. */
  keep(place: PlacedInPack): boolean {
    return this.#kept.add(place)
  }

  /** True the first time that the chunk is walked in this way. */
  walk(walk: Walk, place: PlacedInPack): boolean {
    return this.#walked[walk].add(place)
  }

  /** What is below the chunk could not be walked to its end. */
  unwalk(walk: Walk, place: PlacedInPack): void {
    this.#walked[walk].remove(place)
  }

  /** The chunk is read from another place now. It stays closed. */
  relocate(from: PlacedInPack, to: PlacedInPack): void {
    for (const set of this.#sets()) {
      if (set.has(from)) set.add(to)
      set.remove(from)
    }
  }

  count(): number {
    let count = 0
    for (const bits of this.#kept.packs.values()) count += countBits(bits)
    return count
  }

  /** Chunks have another place now, and their packs have gone. It stays closed. */
  move({ names, successor, moves }: Moved): void {
    const sets = this.#sets()
    if (successor !== undefined) {
      for (const { from, index } of moves) {
        for (const set of sets) if (set.has(from)) set.add({ pack: successor, index })
      }
    }
    for (const set of sets) for (const name of names) set.packs.delete(name)
  }

  #sets(): readonly PlaceSet[] {
    return [this.#kept, ...walks.map((walk) => this.#walked[walk])]
  }
}
