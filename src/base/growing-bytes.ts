const bytesFirst = 256

/** Bytes that are gathered bit by bit, at no more than twice their size in memory. */
export class GrowingBytes {
  #buffer = new Uint8Array(0)
  #size = 0

  get sizeBytes(): number {
    return this.#size
  }

  /** Copies the bytes. */
  add(bytes: Uint8Array): void {
    const size = this.#size + bytes.length
    if (size > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(bytesFirst, 2 * this.#buffer.length, size))
      larger.set(this.joined())
      this.#buffer = larger
    }
    this.#buffer.set(bytes, this.#size)
    this.#size = size
  }

  /** A view of all of them, until more are added. */
  joined(): Uint8Array {
    return this.#buffer.subarray(0, this.#size)
  }

  clear(): void {
    this.#size = 0
  }
}
