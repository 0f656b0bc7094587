import { hash } from 'node:crypto'
import { assert } from '../base/errors.ts'

/** Tables of their own for as many parts of the names, so that each grows by little. */
const partCount = 64
const slotCountFirst = 16
/** Of slots that are taken. */
const loadMax = 0.8
const growth = 1.5

/** Names that can be asked for. */
export interface NameSet {
  readonly size: number
  has(name: string): boolean
}

/**
 * Names, and a value of so many bytes for each, in less memory than a map needs: 8 bytes of the SHA-256
 * stand for a name, so that they can be asked for and not listed. That two of a million have the same
 * happens once in forty million times.
 */
export class NameTable implements NameSet {
  readonly #valueBytes: number
  readonly #parts: readonly Part[]

  constructor(valueBytes = 0) {
    this.#valueBytes = valueBytes
    this.#parts = Array.from({ length: partCount }, () => new Part(valueBytes))
  }

  get size(): number {
    return this.#parts.reduce((sum, { size }) => sum + size, 0)
  }

  /** What it takes. */
  get memoryBytes(): number {
    return this.#parts.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0)
  }

  /** Copies the value, which replaces one that was there. */
  add(name: string, value: Uint8Array = new Uint8Array(this.#valueBytes)): void {
    const key = keyOf(name)
    this.#partOf(key).add(key, value)
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  /** A view, until more is added. */
  get(name: string): Uint8Array | undefined {
    const key = keyOf(name)
    return this.#partOf(key).get(key)
  }

  #partOf([, second]: Key): Part {
    const part = this.#parts[second % partCount]
    assert(part !== undefined, 'every key has its part')
    return part
  }
}

type Key = readonly [first: number, second: number]

class Part {
  readonly #valueBytes: number
  size = 0
  #keys = new Uint32Array(slotCountFirst * 2)
  #values: Uint8Array

  constructor(valueBytes: number) {
    this.#valueBytes = valueBytes
    this.#values = new Uint8Array(slotCountFirst * valueBytes)
  }

  get memoryBytes(): number {
    return this.#keys.byteLength + this.#values.byteLength
  }

  add(key: Key, value: Uint8Array): void {
    const slot = this.#slotOf(key)
    this.#values.set(value.subarray(0, this.#valueBytes), slot * this.#valueBytes)
    if (this.#isTaken(slot)) return
    this.#keys.set(key, slot * 2)
    this.size += 1
    if (this.size > (loadMax * this.#keys.length) / 2) this.#grow()
  }

  get(key: Key): Uint8Array | undefined {
    const slot = this.#slotOf(key)
    if (!this.#isTaken(slot)) return undefined
    const start = slot * this.#valueBytes
    return this.#values.subarray(start, start + this.#valueBytes)
  }

  #isTaken(slot: number): boolean {
    return this.#keys[slot * 2] !== 0
  }

  /** Where the key is, or would be. */
  #slotOf([first, second]: Key): number {
    const slotCount = this.#keys.length / 2
    for (let slot = first % slotCount; ; slot = (slot + 1) % slotCount) {
      const isSame = this.#keys[slot * 2] === first && this.#keys[slot * 2 + 1] === second
      if (isSame || !this.#isTaken(slot)) return slot
    }
  }

  #grow(): void {
    const [keys, values, valueBytes] = [this.#keys, this.#values, this.#valueBytes]
    const slotCount = Math.ceil((keys.length / 2) * growth)
    this.#keys = new Uint32Array(slotCount * 2)
    this.#values = new Uint8Array(slotCount * valueBytes)
    for (let old = 0; old < keys.length / 2; old += 1) {
      const [first = 0, second = 0] = keys.subarray(old * 2, old * 2 + 2)
      if (first === 0) continue
      const slot = this.#slotOf([first, second])
      this.#keys.set([first, second], slot * 2)
      this.#values.set(values.subarray(old * valueBytes, (old + 1) * valueBytes), slot * valueBytes)
    }
  }
}

/** Its first word is never 0, which says that a slot is free. */
function keyOf(name: string): Key {
  const digest = hash('sha256', name, 'buffer')
  return [digest.readUInt32LE(0) || 1, digest.readUInt32LE(4)]
}
