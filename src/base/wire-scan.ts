import { WireFormatError, wireType } from './wire-reader.ts'

/** What a scan knows of a field. */
export interface ScannedField {
  readonly wireType: number
  /** Which count its occurrences add to; undefined: none. */
  readonly counter?: number | undefined
  /** Of a field that is a message, or an entry of a map. */
  readonly message?: ScannedMessage | undefined
  /** How many values may also be written as one: the wire type of each. */
  readonly packed?: number | undefined
}

/** What a scan knows of a message: its fields by their numbers. Messages may hold themselves. */
export interface ScannedMessage {
  readonly fields: readonly (ScannedField | undefined)[]
}

/** What a message holds. */
export interface ScanResult {
  /** Occurrences by counter. */
  readonly counts: Uint32Array
  /** All fields, at every depth, known or not; each value of those that are packed. */
  readonly fieldCount: number
  /** False when there are more fields than were to be counted; the counts are too low then. */
  readonly isWhole: boolean
}

/** As in the decoder that comes after. */
const depthMax = 100
const varintBytesMax = 10
const lengthMax = 2 ** 32

/**
 * Counts what is in a message before anything is made of it, which costs far more than the bytes: an empty
 * message of two bytes becomes an object of a hundred.
 *
 * Takes time for each field, none for what is in texts and bytes; stops after `fieldsMax` fields.
 *
 * @throws {WireFormatError} for what is no such message, so that no decoder reads it in another way: a known
 * field of the wrong wire type, too, and more than 100 levels.
 */
export function scanMessage(
  bytes: Uint8Array,
  message: ScannedMessage,
  options: { readonly counterCount: number; readonly fieldsMax: number },
): ScanResult {
  return new Scan(bytes, options).run(message)
}

class Scan {
  readonly #bytes: Uint8Array
  readonly #counts: Uint32Array
  readonly #fieldsMax: number
  #fieldCount = 0
  #at = 0

  constructor(
    bytes: Uint8Array,
    { counterCount, fieldsMax }: { readonly counterCount: number; readonly fieldsMax: number },
  ) {
    this.#bytes = bytes
    this.#counts = new Uint32Array(counterCount)
    this.#fieldsMax = fieldsMax
  }

  run(message: ScannedMessage): ScanResult {
    this.#message(message, this.#bytes.length, 1)
    const isWhole = this.#fieldCount <= this.#fieldsMax
    return { counts: this.#counts, fieldCount: this.#fieldCount, isWhole }
  }

  get #isFull(): boolean {
    return this.#fieldCount > this.#fieldsMax
  }

  #message(message: ScannedMessage, end: number, depth: number): void {
    if (depth > depthMax) throw new WireFormatError(`more than ${depthMax} messages in one another`)
    const { fields } = message
    while (this.#at < end && !this.#isFull) {
      const tag = this.#tag(end)
      const field = fields[tag >>> 3]
      if (field === undefined) this.#unknown(tag, end, depth)
      else this.#known(field, tag, end, depth)
    }
  }

  #known(field: ScannedField, tag: number, end: number, depth: number): void {
    const type = tag & 7
    const isPacked = type === wireType.bytes && field.packed !== undefined
    if (type !== field.wireType && !isPacked) {
      throw new WireFormatError(`field ${tag >>> 3} with a value of another type`)
    }
    if (type !== wireType.bytes) {
      this.#count(field)
      this.#scalar(type, end)
      return
    }
    const valueEnd = this.#valueEnd(end)
    if (field.packed !== undefined && isPacked) {
      this.#fieldCount -= 1 // each value counts, not all together
      while (this.#at < valueEnd && !this.#isFull) {
        this.#fieldCount += 1
        this.#count(field)
        this.#scalar(field.packed, valueEnd)
      }
      return
    }
    this.#count(field)
    if (field.message === undefined) this.#at = valueEnd
    else this.#message(field.message, valueEnd, depth + 1)
  }

  #count({ counter }: ScannedField): void {
    if (counter !== undefined) this.#counts[counter] = (this.#counts[counter] ?? 0) + 1
  }

  #unknown(tag: number, end: number, depth: number): void {
    const type = tag & 7
    if (type === wireType.bytes) this.#at = this.#valueEnd(end)
    else if (type === wireType.groupStart) this.#group(tag >>> 3, end, depth + 1)
    else if (type === wireType.groupEnd) {
      throw new WireFormatError('the end of a group that did not begin')
    } else this.#scalar(type, end)
  }

  #group(number: number, end: number, depth: number): void {
    if (depth > depthMax) throw new WireFormatError('groups too deep')
    while (!this.#isFull) {
      const tag = this.#tag(end)
      if ((tag & 7) !== wireType.groupEnd) this.#unknown(tag, end, depth)
      else if (tag >>> 3 === number) return
      else throw new WireFormatError('a group that ends as another')
    }
  }

  #tag(end: number): number {
    this.#fieldCount += 1
    const tag = this.#varint32(end)
    if (tag >>> 3 === 0 || (tag & 7) > wireType.fixed32) throw new WireFormatError(`tag ${tag}`)
    return tag
  }

  #scalar(type: number, end: number): void {
    if (type === wireType.varint) this.#varint(end)
    else this.#fixed(type === wireType.fixed32 ? 4 : 8, end)
  }

  #fixed(size: number, end: number): void {
    this.#at += size
    if (this.#at > end) throw endsWithin()
  }

  #varint(end: number): void {
    for (let count = 0; count < varintBytesMax; count += 1) {
      if (this.#at >= end) throw endsWithin()
      const byte = this.#bytes[this.#at] ?? 0
      this.#at += 1
      if (byte < 0x80) return
    }
    throw new WireFormatError(`a number of more than ${varintBytesMax} bytes`)
  }

  #varint32(end: number): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      if (this.#at >= end) throw endsWithin()
      const byte = this.#bytes[this.#at] ?? 0
      this.#at += 1
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80 && value < lengthMax) return value
    }
    throw new WireFormatError('a tag or length of more than 32 bits')
  }

  #valueEnd(end: number): number {
    const size = this.#varint32(end)
    const valueEnd = this.#at + size
    if (valueEnd <= end) return valueEnd
    throw new WireFormatError(`a field of ${size} bytes where ${end - this.#at} are left`)
  }
}

function endsWithin(): WireFormatError {
  return new WireFormatError('it ends within a field')
}
