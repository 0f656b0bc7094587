/** Byte arrays by name, at most `bytesMax` in all; what was not used for longest goes first. */
export class BytesCache {
  readonly #entries = new Map<string, Uint8Array>()
  readonly #bytesMax: number
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get(name: string): Uint8Array | undefined {
    const bytes = this.#entries.get(name)
    if (bytes === undefined) return undefined
    // A map keeps the order of insertion.
    this.#entries.delete(name)
    this.#entries.set(name, bytes)
    return bytes
  }

  set(name: string, bytes: Uint8Array): void {
    const cost = bytes.length + entryCost
    if (cost > this.#bytesMax) return
    this.delete(name)
    this.#entries.set(name, bytes)
    this.#bytes += cost
    while (this.#bytes > this.#bytesMax) {
      const [oldest] = this.#entries.keys()
      if (oldest === undefined) return
      this.delete(oldest)
    }
  }

  delete(name: string): void {
    const bytes = this.#entries.get(name)
    if (bytes === undefined) return
    this.#entries.delete(name)
    this.#bytes -= bytes.length + entryCost
  }
}

/** About what an entry costs besides its bytes: mostly the array and its name. */
const entryCost = 500
