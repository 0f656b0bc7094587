import { DataLossError } from '../../base/errors.ts'

/** Bytes of the longest varint: numbers stay below 2^53. */
export const varintBytesMax = 8

/** Reads fields one after the other; every read checks the bounds. */
export class FieldReader {
  readonly bytes: Uint8Array
  offset = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  /** @throws {DataLossError} when the varint is cut off or is not in its shortest form below 2^53. */
  varint(): number {
    let value = 0
    let scale = 1
    for (let size = 0; size < varintBytesMax; size += 1) {
      const byte = this.bytes[this.offset]
      if (byte === undefined) break
      this.offset += 1
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if ((byte === 0 && size > 0) || value > Number.MAX_SAFE_INTEGER) break
        return value
      }
      scale *= 0x80
    }
    throw new DataLossError(`stored number at byte ${this.offset} is malformed`)
  }

  /** Passes over `size` bytes and returns the offset of the first. */
  skip(size: number): number {
    const start = this.offset
    if (size > this.bytes.length - start) {
      throw new DataLossError(`stored field of ${size} bytes at byte ${start} is cut off`)
    }
    this.offset = start + size
    return start
  }

  /** A view of the next `size` bytes. */
  take(size: number): Uint8Array {
    const start = this.skip(size)
    return this.bytes.subarray(start, start + size)
  }
}
