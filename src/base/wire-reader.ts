import { concatBytes, emptyBytes, utf8Text } from './bytes.ts'
import { InvalidArgumentError } from './errors.ts'

/** Bytes that are no protobuf message: cut short, or with a field that cannot be. */
export class WireFormatError extends InvalidArgumentError {
  override readonly name: string = 'WireFormatError'

  constructor(detail: string, options?: ErrorOptions) {
    super(`malformed message: ${detail}`, options)
  }
}

/** How a field's value is written: the low three bits of its tag. */
export const wireType = {
  varint: 0,
  fixed64: 1,
  bytes: 2,
  groupStart: 3,
  groupEnd: 4,
  fixed32: 5,
} as const

/** A message with more fields than whoever reads it can want. */
export class TooManyFieldsError extends InvalidArgumentError {
  override readonly name = 'TooManyFieldsError'
}

const varintBytesMax = 10
const longVarint = `a number of more than ${varintBytesMax} bytes`
const groupDepthMax = 100
/** Up to here, a text of ASCII is put together faster than by a TextDecoder. */
const asciiLengthMax = 16

/**
 * Reads one message in protobuf's binary form from slices that, joined, are its bytes.
 *
 * Nothing is joined: byte fields come out as views of the slices. The way to use it:
 *
 *     while (!reader.atEnd) {
 *       switch (reader.tag()) {
 *         case nameTag: name = reader.string(); break
 *         default: reader.skip()
 *       }
 *     }
 *
 * A field of a known number but another wire type has another tag, so it is skipped too.
 * With more fields than `fieldsMax`, counted at every depth, `tag` throws `TooManyFieldsError`. Every method throws `WireFormatError` for what cannot be, and then the reader is spent.
 */
export class WireReader {
  readonly #slices: readonly Uint8Array[]
  #index = 0
  #slice: Uint8Array
  /** The next byte, as an index into `#slice`. */
  #at = 0
  /** The bytes in all slices before `#slice`. */
  #before = 0
  /** Where the innermost message that is being read ends, counted over all slices. */
  #end: number
  #tag = 0
  #fieldsLeft: number
  readonly #fieldsMax: number

  constructor(
    slices: readonly Uint8Array[],
    { fieldsMax = Infinity }: { readonly fieldsMax?: number } = {},
  ) {
    this.#slices = slices
    this.#fieldsMax = fieldsMax
    this.#fieldsLeft = fieldsMax
    this.#slice = slices[0] ?? emptyBytes
    this.#end = 0
    for (const slice of slices) this.#end += slice.length
  }

  /** Whether the message, or within `message` the inner message, has no more fields. */
  get atEnd(): boolean {
    return this.#before + this.#at >= this.#end
  }

  /** The next field's number and wire type, as `number * 8 + type`. */
  tag(): number {
    if (this.#fieldsLeft === 0) {
      throw new TooManyFieldsError(
        `the message has more than ${this.#fieldsMax} fields, counted at every depth, which is all that it may have: send several`,
      )
    }
    this.#fieldsLeft -= 1
    const tag = this.#varint32()
    const type = tag & 7
    if (tag >>> 3 === 0 || type > wireType.fixed32) throw new WireFormatError(`tag ${tag}`)
    this.#tag = tag
    return tag
  }

  /** Passes over the value that belongs to the last tag. */
  skip(): void {
    this.#skip(this.#tag, 0)
  }

  bool(): boolean {
    let bits = 0
    for (let count = 0; count < varintBytesMax; count += 1) {
      const byte = this.#byte()
      bits |= byte & 0x7f
      if (byte < 0x80) return bits !== 0
    }
    throw new WireFormatError(longVarint)
  }

  /** Also for enums. */
  int32(): number {
    return Number(BigInt.asIntN(32, this.int64()))
  }

  int64(): bigint {
    let low = 0
    for (let shift = 0; shift < 49; shift += 7) {
      const byte = this.#byte()
      low += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return BigInt(low)
    }
    let value = BigInt(low)
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = this.#byte()
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asIntN(64, value)
    }
    throw new WireFormatError(longVarint)
  }

  string(): string {
    const size = this.#varint32()
    if (size <= asciiLengthMax && this.#at + size <= this.#slice.length) {
      const text = this.#ascii(size)
      if (text !== undefined) return text
    }
    const bytes = concatBytes(this.#take(size))
    try {
      return utf8Text(bytes)
    } catch (cause) {
      throw new WireFormatError('a text that is not UTF-8', { cause })
    }
  }

  /** Views that, joined, are the value; none of them is empty. */
  bytes(): readonly Uint8Array[] {
    return this.#take(this.#varint32())
  }

  /** Has `read` read an inner message, up to its end. */
  message(read: () => void): void {
    const size = this.#varint32()
    const outerEnd = this.#end
    this.#end = this.#endOf(size)
    while (!this.atEnd) read()
    this.#end = outerEnd
  }

  #byte(): number {
    if (this.atEnd) throw new WireFormatError('it ends within a field')
    while (this.#at === this.#slice.length) this.#nextSlice()
    const byte = this.#slice[this.#at] ?? 0
    this.#at += 1
    return byte
  }

  /** A varint that must fit 32 bits: a tag or a length. */
  #varint32(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#byte()
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80 && value < 2 ** 32) return value
    }
    throw new WireFormatError('a tag or length of more than 32 bits')
  }

  #endOf(size: number): number {
    const end = this.#before + this.#at + size
    if (end > this.#end) {
      throw new WireFormatError(
        `a field of ${size} bytes where ${this.#end - this.#before - this.#at} are left`,
      )
    }
    return end
  }

  #nextSlice(): void {
    this.#before += this.#slice.length
    this.#index += 1
    this.#slice = this.#slices[this.#index] ?? emptyBytes
    this.#at = 0
  }

  #take(size: number): readonly Uint8Array[] {
    const end = this.#endOf(size)
    const views: Uint8Array[] = []
    for (;;) {
      const left = end - this.#before - this.#at
      if (left === 0) return views
      const count = Math.min(left, this.#slice.length - this.#at)
      if (count > 0) views.push(this.#slice.subarray(this.#at, this.#at + count))
      this.#at += count
      if (count < left) this.#nextSlice()
    }
  }

  /** The next `size` bytes of this slice as text, unless one of them is not ASCII. */
  #ascii(size: number): string | undefined {
    this.#endOf(size)
    let text = ''
    for (let index = this.#at; index < this.#at + size; index += 1) {
      const byte = this.#slice[index] ?? 0
      if (byte >= 0x80) return undefined
      text += String.fromCharCode(byte)
    }
    this.#at += size
    return text
  }

  #skip(tag: number, depth: number): void {
    switch (tag & 7) {
      case wireType.varint:
        this.int64()
        break
      case wireType.fixed64:
        this.#take(8)
        break
      case wireType.bytes:
        this.bytes()
        break
      case wireType.fixed32:
        this.#take(4)
        break
      case wireType.groupStart:
        this.#skipGroup(tag >>> 3, depth + 1)
        break
      default:
        throw new WireFormatError('the end of a group that did not begin')
    }
  }

  /** Groups are of older protobuf; a message may hold one in a field that we do not know. */
  #skipGroup(field: number, depth: number): void {
    if (depth > groupDepthMax) throw new WireFormatError('groups too deep')
    for (;;) {
      const tag = this.tag()
      if ((tag & 7) !== wireType.groupEnd) this.#skip(tag, depth)
      else if (tag >>> 3 === field) return
      else throw new WireFormatError('a group that ends as another')
    }
  }
}
