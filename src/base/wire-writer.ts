import { emptyBytes } from './bytes.ts'
import { InvalidArgumentError } from './errors.ts'

/** Byte values up to this size are copied among their neighbours; a larger one is a chunk of its own. */
const copyBytesMax = 4096

const chunkBytesFirst = 512
const chunkBytesMax = 256 * 1024
const varintBytesMax = 10
const encodeIntoLengthMin = 64

const encoder = new TextEncoder()

/**
 * The size of `text` in UTF-8.
 *
 * @throws {InvalidArgumentError} for text with half a surrogate pair, which has no UTF-8.
 */
export function utf8Size(text: string): number {
  let size = text.length
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index)
    if (unit < 0x80) continue
    // Both halves of a pair count two bytes, one of which is in `length`.
    size += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2
  }
  if (size !== text.length && !text.isWellFormed()) {
    throw new InvalidArgumentError(`text is not valid UTF-8: ${JSON.stringify(text)}`)
  }
  return size
}

/** Bytes that a varint of `value`, from 0 to 2^53 - 1, takes. */
export function varintSize(value: number): number {
  let size = 1
  for (let rest = value; rest >= 0x80; rest /= 128) size += 1
  return size
}

/** Writes a varint of `value`, from 0 to 2^53 - 1, at `at`, and returns the offset behind it. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let end = at
  let rest = value
  while (rest >= 0x80) {
    bytes[end] = (rest % 128) | 0x80
    end += 1
    rest = Math.floor(rest / 128)
  }
  bytes[end] = rest
  return end + 1
}

/** Writes `text` of `sizeBytes`, which is its `utf8Size`, at `at`, and returns the offset behind it. */
export function writeUtf8(bytes: Uint8Array, at: number, text: string, sizeBytes: number): number {
  if (sizeBytes === text.length && sizeBytes < encodeIntoLengthMin) {
    for (let index = 0; index < sizeBytes; index += 1) bytes[at + index] = text.charCodeAt(index)
  } else {
    encoder.encodeInto(text, bytes.subarray(at))
  }
  return at + sizeBytes
}

/** The size of a field with a tag of one byte (number below 16) and a value of `size` bytes. */
export function fieldSize(size: number): number {
  return 1 + varintSize(size) + size
}

/** As `fieldSize`, but 0 for an empty value, which is not written. */
export function optionalFieldSize(size: number): number {
  return size === 0 ? 0 : fieldSize(size)
}

/** The size of a number field with a tag of one byte; 0 is not written. */
export function numberFieldSize(value: number): number {
  return value === 0 ? 0 : 1 + varintSize(value)
}

/**
 * Writes protobuf's binary form as chunks that, joined, are the message.
 *
 * The caller knows sizes before it writes, so nothing is moved. What has been written is never
 * copied again, and large byte values are handed on as they are.
 */
export class WireWriter {
  #chunks: Uint8Array[] = []
  #chunk: Uint8Array = emptyBytes
  /** Where in `#chunk` the bytes begin that are not in `#chunks` yet. */
  #from = 0
  #at = 0
  #chunkBytesNext = chunkBytesFirst
  #passedBytes = 0

  /** The size of all that was written since the last `take`. */
  get sizeBytes(): number {
    return this.#passedBytes + this.#at - this.#from
  }

  /** A tag, a length or any other integer from 0 to 2^53 - 1. */
  varint(value: number): void {
    this.#reserve(varintBytesMax)
    this.#at = writeVarint(this.#chunk, this.#at, value)
  }

  /** Negative numbers take 10 bytes. */
  int64(value: bigint): void {
    this.#reserve(varintBytesMax)
    let rest = BigInt.asUintN(64, value)
    while (rest >= 0x80n) {
      this.#chunk[this.#at] = Number(rest & 0x7fn) | 0x80
      this.#at += 1
      rest >>= 7n
    }
    this.#chunk[this.#at] = Number(rest)
    this.#at += 1
  }

  /** Text of `sizeBytes`, which is its `utf8Size`, with its length before it. */
  string(text: string, sizeBytes: number): void {
    this.varint(sizeBytes)
    this.#reserve(sizeBytes)
    this.#at = writeUtf8(this.#chunk, this.#at, text, sizeBytes)
  }

  /** Bytes without a length before them. Large ones are not copied and must not change. */
  raw(bytes: Uint8Array): void {
    if (bytes.length > copyBytesMax) {
      this.#flush()
      this.#chunks.push(bytes)
      this.#passedBytes += bytes.length
      return
    }
    this.#reserve(bytes.length)
    this.#chunk.set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** The chunks since the last `take`, none of them empty. The writer can go on after it. */
  take(): readonly Uint8Array[] {
    this.#flush()
    const chunks = this.#chunks
    this.#chunks = []
    this.#passedBytes = 0
    return chunks
  }

  #flush(): void {
    if (this.#at === this.#from) return
    this.#chunks.push(this.#chunk.subarray(this.#from, this.#at))
    this.#passedBytes += this.#at - this.#from
    this.#from = this.#at
  }

  #reserve(count: number): void {
    if (this.#at + count <= this.#chunk.length) return
    this.#flush()
    this.#chunk = new Uint8Array(Math.max(count, this.#chunkBytesNext))
    this.#chunkBytesNext = Math.min(this.#chunkBytesNext * 4, chunkBytesMax)
    this.#from = 0
    this.#at = 0
  }
}
