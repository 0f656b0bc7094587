import { hash } from 'node:crypto'

const keyWords = 4
const capacityFirst = 1024
/** Of slots that are taken. */
const loadMax = 0.7

/** Names that can be asked for. */
export interface NameSet {
  readonly size: number
  has(name: string): boolean
}

/**
 * Names, and a value of so many bytes for each, in less memory than a map needs: 16 bytes of the SHA-256
 * stand for a name, so that they can be asked for and not listed. There may be millions.
 */
export class NameTable implements NameSet {
  readonly #valueBytes: number
  #size = 0
  #keys = new Uint32Array(capacityFirst * keyWords)
  #values: Uint8Array

  constructor(valueBytes = 0) {
    this.#valueBytes = valueBytes
    this.#values = new Uint8Array(capacityFirst * valueBytes)
  }

  get size(): number {
    return this.#size
  }

  /** What it takes. */
  get memoryBytes(): number {
    return this.#keys.byteLength + this.#values.byteLength
  }

  /** Copies the value, which replaces one that was there. */
  add(name: string, value: Uint8Array = new Uint8Array(this.#valueBytes)): void {
    const key = keyOf(name)
    const slot = this.#slotOf(key)
    this.#values.set(value.subarray(0, this.#valueBytes), slot * this.#valueBytes)
    if (this.#isTaken(slot)) return
    this.#keys.set(key, slot * keyWords)
    this.#size += 1
    if (this.#size > loadMax * this.#capacity) this.#grow()
  }

  has(name: string): boolean {
    return this.#isTaken(this.#slotOf(keyOf(name)))
  }

  /** A view, until more is added. */
  get(name: string): Uint8Array | undefined {
    const slot = this.#slotOf(keyOf(name))
    if (!this.#isTaken(slot)) return undefined
    const start = slot * this.#valueBytes
    return this.#values.subarray(start, start + this.#valueBytes)
  }

  get #capacity(): number {
    return this.#keys.length / keyWords
  }

  #isTaken(slot: number): boolean {
    return this.#keys[slot * keyWords] !== 0
  }

  /** Where the key is, or would be. */
  #slotOf(key: Uint32Array): number {
    const last = this.#capacity - 1
    for (let slot = (key[0] ?? 0) & last; ; slot = (slot + 1) & last) {
      const at = slot * keyWords
      if (!this.#isTaken(slot) || key.every((word, index) => this.#keys[at + index] === word)) {
        return slot
      }
    }
  }

  #grow(): void {
    const [keys, values, valueBytes] = [this.#keys, this.#values, this.#valueBytes]
    this.#keys = new Uint32Array(keys.length * 2)
    this.#values = new Uint8Array(values.length * 2)
    for (let at = 0; at < keys.length; at += keyWords) {
      if (keys[at] === 0) continue
      const key = keys.subarray(at, at + keyWords)
      const slot = this.#slotOf(key)
      this.#keys.set(key, slot * keyWords)
      const from = (at / keyWords) * valueBytes
      this.#values.set(values.subarray(from, from + valueBytes), slot * valueBytes)
    }
  }
}

/** Its first word is never 0, which says that a slot is free. */
function keyOf(name: string): Uint32Array {
  const digest = hash('sha256', name, 'buffer')
  const key = new Uint32Array(keyWords)
  for (const index of key.keys()) key[index] = digest.readUInt32LE(index * 4)
  key[0] ||= 1
  return key
}
