import type { CutFinder } from './cut-finder.ts'
import { splitBytesMin } from './gear.ts'

/** Splits a stream into chunks; holds no more of it than the chunk that has begun. */
export class Splitter {
  readonly #finder: CutFinder
  #buffer = new Uint8Array(0)
  #size = 0
  #isWhole = false

  /** Any number may share a finder. */
  constructor(finder: CutFinder) {
    this.#finder = finder
  }

  /** How many bytes were pushed since the last chunk was taken. */
  get pendingBytes(): number {
    return this.#size
  }

  /** A whole chunk is to be taken before more is pushed. */
  get isWhole(): boolean {
    return this.#isWhole
  }

  /** Copies of `bytes` what belongs to the chunk that has begun; gives how much that is. */
  push(bytes: Uint8Array): number {
    const end = this.#finder.find(this.#buffer.subarray(0, this.#size), bytes)
    this.#isWhole = end !== undefined
    const taken = end === undefined ? bytes : bytes.subarray(0, end)
    this.#grow(this.#size + taken.length)
    this.#buffer.set(taken, this.#size)
    this.#size += taken.length
    return taken.length
  }

  /** The chunk, whole or not, in memory of its own; begins the next one. */
  take(): Uint8Array<ArrayBuffer> {
    const chunk = this.#buffer.subarray(0, this.#size)
    this.#buffer = new Uint8Array(0)
    this.#size = 0
    this.#isWhole = false
    return chunk
  }

  #grow(size: number): void {
    if (size <= this.#buffer.length) return
    const grown = Math.max(this.#buffer.length + splitBytesMin, size)
    this.#buffer = new Uint8Array(this.#buffer.buffer.transfer(grown))
  }
}
