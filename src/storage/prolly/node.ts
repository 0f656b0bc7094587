import { DataLossError } from '../../base/errors.ts'
import { chunkIdAt, chunkIdBytesCount } from '../chunk-id.ts'
import type { ChunkId } from '../chunks.ts'
import { FieldReader } from './varint.ts'

export const nodeVersion = 1
export const nodeHeaderBytes = 4
export const levelMax = 31
/** About what a node and its arrays take besides what is in them. */
const arraysBytes = 1200

/**
 * A decoded node: sorted keys, each with a value (level 0) or with a child node whose last key it
 * is. Keys, values and ids are views; callers must not write to them.
 */
export class Node {
  readonly bytes: Uint8Array
  readonly level: number
  readonly count: number
  /** Count of map entries below: `count` in a leaf. */
  readonly entryCount: number
  /** All keys, one behind the other. */
  readonly keys: Uint8Array
  /** For each entry: where its key ends in `keys`, and where its value begins and ends in `bytes`. */
  readonly #offsets: Uint32Array
  readonly #entryCounts: Float64Array | undefined
  /** `keys` again, once they have been asked for as text. */
  #keysBuffer: Buffer | undefined

  /** @throws {DataLossError} when `bytes` is no node of this version. */
  constructor(bytes: Uint8Array) {
    const reader = new FieldReader(bytes)
    const header = reader.skip(nodeHeaderBytes)
    const level = bytes[header + 1] ?? 0
    if (bytes[header] !== nodeVersion || level > levelMax) {
      throw new DataLossError(
        `stored bytes are no tree node of version ${nodeVersion}: they begin with ${bytes[0]}, ${level}`,
      )
    }
    const count = (bytes[header + 2] ?? 0) | ((bytes[header + 3] ?? 0) << 8)
    this.bytes = bytes
    this.level = level
    this.count = count
    this.#offsets = new Uint32Array(3 * count)
    this.#entryCounts = level === 0 ? undefined : new Float64Array(count)
    this.keys = this.#readEntries(reader)
    this.entryCount = this.#entryCounts === undefined ? count : sum(this.#entryCounts)
  }

  #readEntries(reader: FieldReader): Uint8Array {
    let keys = new Uint8Array(this.bytes.length)
    let keyEnd = 0
    let previousStart = 0
    for (let index = 0; index < this.count; index += 1) {
      const shared = reader.varint()
      const suffixSize = reader.varint()
      const valueSize = this.level === 0 ? reader.varint() : chunkIdBytesCount
      if (shared > keyEnd - previousStart) throw new DataLossError('stored tree node: bad prefix')
      const suffixStart = reader.skip(suffixSize)
      if (keyEnd + shared + suffixSize > keys.length) {
        const larger = new Uint8Array(2 * (keyEnd + shared + suffixSize))
        larger.set(keys.subarray(0, keyEnd))
        keys = larger
      }
      keys.copyWithin(keyEnd, previousStart, previousStart + shared)
      previousStart = keyEnd
      keyEnd += shared
      for (let at = suffixStart; at < suffixStart + suffixSize; at += 1) {
        keys[keyEnd] = this.bytes[at] ?? 0
        keyEnd += 1
      }
      const valueStart = reader.skip(valueSize)
      this.#offsets[3 * index] = keyEnd
      this.#offsets[3 * index + 1] = valueStart
      this.#offsets[3 * index + 2] = valueStart + valueSize
      if (this.#entryCounts !== undefined) this.#entryCounts[index] = reader.varint()
    }
    if (reader.offset !== this.bytes.length) {
      throw new DataLossError('stored tree node has bytes behind its last entry')
    }
    return keys
  }

  /** What this node takes in memory, roughly, for caches that are bounded by bytes. */
  get memoryBytes(): number {
    return this.bytes.length + this.keys.length + 20 * this.count + arraysBytes
  }

  /** Undefined in an empty leaf only. */
  get lastKey(): Uint8Array | undefined {
    return this.count === 0 ? undefined : this.keyAt(this.count - 1)
  }

  keyAt(index: number): Uint8Array {
    return this.keys.subarray(this.keyStart(index), this.keyEnd(index))
  }

  /** The key at `index`, which is UTF-8, as text. */
  textAt(index: number): string {
    const { buffer, byteOffset, length } = this.keys
    this.#keysBuffer ??= Buffer.from(buffer, byteOffset, length)
    return this.#keysBuffer.toString('utf8', this.keyStart(index), this.keyEnd(index))
  }

  /** Where the key at `index` begins in `keys`. */
  keyStart(index: number): number {
    return index === 0 ? 0 : this.keyEnd(index - 1)
  }

  keyEnd(index: number): number {
    return this.#offsets[3 * index] ?? 0
  }

  /** Where the value at `index` begins in `bytes`. */
  valueStart(index: number): number {
    return this.#offsets[3 * index + 1] ?? 0
  }

  valueEnd(index: number): number {
    return this.#offsets[3 * index + 2] ?? 0
  }

  /** The value in a leaf; above, the 32 bytes of the child's id. */
  valueAt(index: number): Uint8Array {
    return this.bytes.subarray(this.valueStart(index), this.valueEnd(index))
  }

  childIdAt(index: number): ChunkId {
    return chunkIdAt(this.bytes, this.valueStart(index))
  }

  /** Count of map entries below the entry at `index`. */
  entryCountAt(index: number): number {
    return this.#entryCounts === undefined ? 1 : (this.#entryCounts[index] ?? 0)
  }

  /** As memcmp: below 0 when the key at `index` comes before `key`. */
  compareKey(index: number, key: Uint8Array): number {
    const start = this.keyStart(index)
    const size = this.keyEnd(index) - start
    const shared = Math.min(size, key.length)
    for (let at = 0; at < shared; at += 1) {
      const difference = (this.keys[start + at] ?? 0) - (key[at] ?? 0)
      if (difference !== 0) return difference
    }
    return size - key.length
  }

  /** The first index, from `from`, whose key is `key` or behind it; `count` if there is none. */
  lowerBound(key: Uint8Array, from = 0): number {
    let low = from
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.compareKey(middle, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}

function sum(counts: Float64Array): number {
  let total = 0
  for (const count of counts) total += count
  return total
}
