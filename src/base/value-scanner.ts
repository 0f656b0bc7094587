import { TooManyFieldsError, wireType, WireFormatError } from './wire-reader.ts'

const fixedPayloadBytes: Readonly<Record<number, number>> = {
  [wireType.fixed64]: 8,
  [wireType.fixed32]: 4,
}

/** Fields of one message: each view of a value costs far more than its bytes. */
const fieldsMax = 1000

/**
 * Picks the bytes of one field out of a message while it arrives, so that a large value passes
 * without being held: views of each slice as it comes.
 *
 * For messages of which only that field matters, such as every pfs.PutFileRequest of a stream but
 * the first. A message with the field twice, which no encoder writes, gives both values.
 */
export class ValueScanner {
  readonly #fieldTag: number
  /** What the next byte belongs to. */
  #state: 'tag' | 'number' | 'length' | 'payload' = 'tag'
  #varint = 0
  #shift = 0
  #tag = 0
  #payloadLeft = 0
  #fieldCount = 0

  /** `fieldTag` is the number of a bytes field, times 8, plus 2. */
  constructor(fieldTag: number) {
    this.#fieldTag = fieldTag
  }

  /** The next bytes of the message. Returns those that belong to the value, as views of `slice`. */
  push(slice: Uint8Array): readonly Uint8Array[] {
    const views: Uint8Array[] = []
    for (let at = 0; at < slice.length;) {
      if (this.#state === 'payload') {
        const end = Math.min(at + this.#payloadLeft, slice.length)
        if (this.#tag === this.#fieldTag) views.push(slice.subarray(at, end))
        this.#payloadLeft -= end - at
        if (this.#payloadLeft === 0) this.#state = 'tag'
        at = end
      } else {
        this.#take(slice[at] ?? 0)
        at += 1
      }
    }
    return views
  }

  /** Call at the end of each message; the next `push` begins another. */
  end(): void {
    this.#fieldCount = 0
    if (this.#state === 'tag' && this.#shift === 0) return
    throw new WireFormatError('it ends within a field')
  }

  #take(byte: number): void {
    this.#varint += (byte & 0x7f) * 2 ** this.#shift
    this.#shift += 7
    if (byte >= 0x80) {
      if (this.#shift === 70) throw new WireFormatError('a number of more than 10 bytes')
      return
    }
    const value = this.#varint
    this.#varint = 0
    this.#shift = 0
    if (this.#state === 'number') this.#state = 'tag'
    else if (value >= 2 ** 32) throw new WireFormatError('a tag or length of more than 32 bits')
    else if (this.#state === 'tag') this.#beginField(value)
    else this.#beginPayload(value)
  }

  #beginField(tag: number): void {
    this.#fieldCount += 1
    if (this.#fieldCount > fieldsMax) {
      throw new TooManyFieldsError(
        `the message has more than ${fieldsMax} fields, and needs one: send the next bytes of a file as one value, of up to 20 MiB`,
      )
    }
    this.#tag = tag
    const type = tag & 7
    const fixedBytes = fixedPayloadBytes[type]
    if (tag >>> 3 === 0) throw new WireFormatError(`tag ${tag}`)
    if (type === wireType.varint) this.#state = 'number'
    else if (type === wireType.bytes) this.#state = 'length'
    else if (fixedBytes !== undefined) this.#beginPayload(fixedBytes)
    else throw new WireFormatError(`tag ${tag}`)
  }

  #beginPayload(size: number): void {
    this.#payloadLeft = size
    this.#state = size === 0 ? 'tag' : 'payload'
  }
}
