import type { MapEdit } from './prolly/map-entries.ts'

/** How much is gathered before it is to be applied. A single edit may go beyond it. */
export interface GatheredBounds {
  readonly countMax: number
  /** Of keys and values, and a little for each. */
  readonly bytesMax: number
}

const initialBytes = 64 * 1024
/** Behind each key: what follows. */
const tags = { removal: 0, value: 1 } as const
const tagBytes = 1

/**
 * Edits of a map that come in any order, to be applied many at a time. They lie one behind the other
 * in one piece of memory: as arrays of their own, keys and values would take several times as much.
 */
export class GatheredEdits {
  readonly #bounds: GatheredBounds
  #bytes = new Uint8Array(initialBytes)
  /** Where each edit's key ends, and where the edit does: there the next begins. */
  readonly #keyEnds: number[] = []
  readonly #ends: number[] = []
  #isSorted = true

  constructor(bounds: GatheredBounds) {
    this.#bounds = bounds
  }

  get isEmpty(): boolean {
    return this.#ends.length === 0
  }

  get isFull(): boolean {
    return this.#ends.length >= this.#bounds.countMax || this.#size >= this.#bounds.bytesMax
  }

  /** Takes a copy. Each key may come once. */
  add({ key, value }: MapEdit): void {
    const keyEnd = this.#size + key.length
    const end = keyEnd + tagBytes + (value?.length ?? 0)
    this.#reserve(end)
    this.#bytes.set(key, this.#size)
    this.#bytes[keyEnd] = value === undefined ? tags.removal : tags.value
    if (value !== undefined) this.#bytes.set(value, keyEnd + tagBytes)
    const index = this.#ends.length
    this.#keyEnds.push(keyEnd)
    this.#ends.push(end)
    this.#isSorted &&= index === 0 || this.#compareKeys(index - 1, index) < 0
  }

  /** In the order of their keys: views, until `clear`. */
  *sorted(): Generator<MapEdit> {
    const order = Uint32Array.from(this.#ends, (_, index) => index)
    if (!this.#isSorted) order.sort((left, right) => this.#compareKeys(left, right))
    for (const index of order) yield this.#at(index)
  }

  /** Gathers anew, in the same memory: nobody looks at what it gave any more. */
  clear(): void {
    this.#keyEnds.length = 0
    this.#ends.length = 0
    this.#isSorted = true
  }

  get #size(): number {
    return this.#ends.at(-1) ?? 0
  }

  #start(index: number): number {
    return index === 0 ? 0 : (this.#ends[index - 1] ?? 0)
  }

  #at(index: number): MapEdit {
    const keyEnd = this.#keyEnds[index] ?? 0
    const hasValue = this.#bytes[keyEnd] === tags.value
    return {
      key: this.#bytes.subarray(this.#start(index), keyEnd),
      value: hasValue ? this.#bytes.subarray(keyEnd + tagBytes, this.#ends[index]) : undefined,
    }
  }

  /** As `compareBytes`, without a view for each. */
  #compareKeys(left: number, right: number): number {
    const bytes = this.#bytes
    const [leftStart, rightStart] = [this.#start(left), this.#start(right)]
    const leftSize = (this.#keyEnds[left] ?? 0) - leftStart
    const rightSize = (this.#keyEnds[right] ?? 0) - rightStart
    const shared = Math.min(leftSize, rightSize)
    for (let at = 0; at < shared; at += 1) {
      const difference = (bytes[leftStart + at] ?? 0) - (bytes[rightStart + at] ?? 0)
      if (difference !== 0) return difference
    }
    return leftSize - rightSize
  }

  #reserve(end: number): void {
    if (end <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(end, 2 * this.#bytes.length))
    larger.set(this.#bytes.subarray(0, this.#size))
    this.#bytes = larger
  }
}
