import type { ChunkId } from '../chunks.ts'

const slotsMin = 1024

/**
 * Which packs may hold a chunk: a table from the first four bytes of an id to the number of a
 * pack, open addressing in two typed arrays, 8 bytes a slot and 11 to 22 bytes a chunk. It may
 * name a pack that does not hold the chunk (once in thousands), never miss one that does.
 */
export class Locator {
  #fingerprints = new Uint32Array(slotsMin)
  /** Pack number + 1; 0 for a free slot. */
  #packs = new Uint32Array(slotsMin)
  #count = 0

  /** How many chunks it knows. */
  get count(): number {
    return this.#count
  }

  /** @param fingerprints four bytes each, little-endian. */
  addAll(fingerprints: Uint8Array, pack: number): void {
    const view = new DataView(fingerprints.buffer, fingerprints.byteOffset, fingerprints.length)
    for (let at = 0; at + 4 <= fingerprints.length; at += 4)
      this.#add(view.getUint32(at, true), pack)
  }

  /** The numbers of the packs that may hold `id`, each once; mostly none or one. */
  packsOf(id: ChunkId): readonly number[] {
    const fingerprint = fingerprintOf(id)
    const mask = this.#packs.length - 1
    let found: number[] | undefined
    for (let slot = fingerprint & mask; this.#packs[slot] !== 0; slot = (slot + 1) & mask) {
      if (this.#fingerprints[slot] !== fingerprint) continue
      const pack = (this.#packs[slot] ?? 0) - 1
      if (found === undefined) found = [pack]
      else if (!found.includes(pack)) found.push(pack)
    }
    return found ?? none
  }

  /** Forgets the chunks of packs that are gone: all that `isThere` says false of. */
  sweep(isThere: (pack: number) => boolean): void {
    this.#rebuild(this.#packs.length, (value) => isThere(value - 1))
  }

  #add(fingerprint: number, pack: number): void {
    if (this.#count * 4 >= this.#packs.length * 3) this.#grow()
    this.#insert(fingerprint, pack + 1)
    this.#count += 1
  }

  #insert(fingerprint: number, value: number): void {
    const mask = this.#packs.length - 1
    let slot = fingerprint & mask
    while (this.#packs[slot] !== 0) slot = (slot + 1) & mask
    this.#fingerprints[slot] = fingerprint
    this.#packs[slot] = value
  }

  #grow(): void {
    this.#rebuild(this.#packs.length * 2, () => true)
  }

  #rebuild(slotCount: number, keeps: (value: number) => boolean): void {
    const fingerprints = this.#fingerprints
    const packs = this.#packs
    this.#fingerprints = new Uint32Array(slotCount)
    this.#packs = new Uint32Array(slotCount)
    this.#count = 0
    for (let slot = 0; slot < packs.length; slot += 1) {
      const value = packs[slot] ?? 0
      if (value === 0 || !keeps(value)) continue
      this.#insert(fingerprints[slot] ?? 0, value)
      this.#count += 1
    }
  }
}

const none: readonly number[] = []

/** The first four bytes of the id, little-endian. */
function fingerprintOf(id: ChunkId): number {
  const big = Number.parseInt(id.slice(0, 8), 16)
  return (
    (((big & 0xff) << 24) | ((big & 0xff00) << 8) | ((big >>> 8) & 0xff00) | (big >>> 24)) >>> 0
  )
}
