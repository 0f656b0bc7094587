import type { Epoch, Leases } from '../leases.ts'

/** One bit for each chunk of a pack, by its place in the pack's index. */
export type ChunkBits = Uint8Array

export function newChunkBits(chunkCount: number): ChunkBits {
  return new Uint8Array((chunkCount + 7) >>> 3)
}

export function hasBit(bits: ChunkBits, index: number): boolean {
  return ((bits[index >>> 3] ?? 0) & (1 << (index & 7))) !== 0
}

/** False when it was set already. */
export function setBit(bits: ChunkBits, index: number): boolean {
  if (hasBit(bits, index)) return false
  bits[index >>> 3] = (bits[index >>> 3] ?? 0) | (1 << (index & 7))
  return true
}

export function countBits(bits: ChunkBits): number {
  let count = 0
  for (let byte of bits) for (; byte !== 0; byte &= byte - 1) count += 1
  return count
}

export function addBits(bits: ChunkBits, more: ChunkBits): void {
  for (let at = 0; at < bits.length; at += 1) bits[at] = (bits[at] ?? 0) | (more[at] ?? 0)
}

export function haveCommonBits(left: ChunkBits, right: ChunkBits): boolean {
  return left.some((byte, at) => (byte & (right[at] ?? 0)) !== 0)
}

/** Epochs that are told apart; of older ones, two become one. */
const epochsMax = 8

interface EpochPuts {
  epoch: Epoch
  /** By pack: chunks of which a put found that they are there. */
  readonly found: Map<string, ChunkBits>
  /** Packs that were sealed. */
  readonly sealed: Set<string>
}

/** What was put of late, by the epoch of leases: rows that refer to it may still be to come. */
export class RecentPuts {
  readonly #leases: Leases
  /** Oldest first. */
  readonly #epochs: EpochPuts[] = []

  constructor(leases: Leases) {
    this.#leases = leases
  }

  noteFound(pack: { readonly name: string; readonly chunkCount: number }, index: number): void {
    const { found } = this.#now()
    const bits = found.get(pack.name) ?? newChunkBits(pack.chunkCount)
    found.set(pack.name, bits)
    setBit(bits, index)
  }

  noteSealed(name: string): void {
    this.#now().sealed.add(name)
  }

  wasSealedSince(name: string, epoch: Epoch): boolean {
    return this.#epochs.some((puts) => puts.epoch >= epoch && puts.sealed.has(name))
  }

  /** Adds the chunks of the pack that puts have found since. */
  addFound(name: string, since: Epoch, bits: ChunkBits): void {
    for (const { epoch, found } of this.#epochs) {
      const more = found.get(name)
      if (epoch >= since && more !== undefined) addBits(bits, more)
    }
  }

  forget(name: string): void {
    for (const { found, sealed } of this.#epochs) {
      found.delete(name)
      sealed.delete(name)
    }
  }

  /** Forgets what no lease needs. */
  prune(): void {
    const oldest = this.#leases.oldestEpoch
    while ((this.#epochs[0]?.epoch ?? oldest) < oldest) this.#epochs.shift()
  }

  #now(): EpochPuts {
    const { epoch } = this.#leases
    const last = this.#epochs.at(-1)
    if (last?.epoch === epoch) return last
    const puts: EpochPuts = { epoch, found: new Map(), sealed: new Set() }
    this.#epochs.push(puts)
    if (this.#epochs.length > epochsMax) this.#joinOldest()
    return puts
  }

  /** What is said to be younger than it is, is kept too long, and never too short. */
  #joinOldest(): void {
    const [older, next] = this.#epochs
    if (older === undefined || next === undefined) return
    for (const [name, bits] of older.found) {
      const into = next.found.get(name)
      if (into === undefined) next.found.set(name, bits)
      else addBits(into, bits)
    }
    for (const name of older.sealed) next.sealed.add(name)
    this.#epochs.shift()
  }
}
