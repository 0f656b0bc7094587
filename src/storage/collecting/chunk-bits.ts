/** A pack, as far as a bit for each of its chunks goes. */
export interface BitsPack {
  readonly name: string
  readonly chunkCount: number
}

const byteBits = 8

/**
 * A set of chunks by their places: one bit for each chunk of each pack that has one in the set.
 * 10 million chunks take 1.2 MB.
 */
export class ChunkBits {
  readonly #packs = new Map<string, Uint8Array>()

  /** Adds the chunk at `number` in the pack's index; true when it was not in the set. */
  add(pack: BitsPack, number: number): boolean {
    let bits = this.#packs.get(pack.name)
    if (bits === undefined) {
      bits = new Uint8Array(Math.ceil(pack.chunkCount / byteBits))
      this.#packs.set(pack.name, bits)
    }
    const at = Math.floor(number / byteBits)
    const bit = 1 << (number % byteBits)
    const byte = bits[at] ?? 0
    if ((byte & bit) !== 0) return false
    bits[at] = byte | bit
    return true
  }

  has(pack: BitsPack, number: number): boolean {
    const byte = this.#packs.get(pack.name)?.[Math.floor(number / byteBits)] ?? 0
    return (byte & (1 << (number % byteBits))) !== 0
  }

  /** How many chunks of the pack are in the set. */
  countOf(pack: BitsPack): number {
    let count = 0
    for (let byte of this.#packs.get(pack.name) ?? []) for (; byte > 0; byte &= byte - 1) count += 1
    return count
  }
}
