/** A node ends for certain once the weights of its entries reach this. */
export const nodeWeightMax: number = 64 * 1024
/** Keys beyond this size are refused. */
export const keyBytesMax: number = 32 * 1024
/** Values beyond this size are refused. */
export const valueBytesMax: number = 256 * 1024

const entryWeight = 4
const childWeight = 36
/** Where the Rayleigh distribution of node weights has its scale; the mean is 0.886 of it. */
const scaleSquared = 5120 * 5120
const hashRange = 2 ** 24
/** With one child per node, levels would never end. */
const childCountMin = 2

/** 24 bits that depend on every bit of the key: FNV-1a, then the finaliser of MurmurHash3. */
export function keyHash(
  key: Uint8Array,
  level: number,
  start = 0,
  end: number = key.length,
): number {
  let hash = 0x811c9dc5 ^ level
  for (let index = start; index < end; index += 1) {
    hash = Math.imul(hash ^ (key[index] ?? 0), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  hash ^= hash >>> 16
  return hash >>> 8
}

/**
 * Says where the nodes of one level end, from the keys and the sizes of the entries since the node
 * began and from nothing else: so equal entries make equal nodes whatever their history.
 *
 * The chance that a node ends grows with its weight (Rayleigh), which keeps nodes near their mean.
 * The arithmetic is exact in doubles. Rule and test vectors: `docs/formats/prolly-trees.md`.
 */
export class BoundaryRule {
  readonly #level: number
  #weight = 0
  #count = 0

  constructor(level: number) {
    this.#level = level
  }

  /**
   * Takes the next entry of the node; true if it is its last. The key is `bytes` from `start` to
   * `end`; `valueBytes` is ignored above level 0.
   */
  endsAfter(bytes: Uint8Array, start: number, end: number, valueBytes: number): boolean {
    const before = this.#weight
    const after =
      before + entryWeight + end - start + (this.#level === 0 ? valueBytes : childWeight)
    this.#weight = after
    this.#count += 1
    if (this.#level > 0 && this.#count < childCountMin) return false
    if (after >= nodeWeightMax) return true
    const chance = hashRange * (after * after - before * before)
    return keyHash(bytes, this.#level, start, end) * scaleSquared < chance
  }

  /** Begins the next node. */
  restart(): void {
    this.#weight = 0
    this.#count = 0
  }
}
