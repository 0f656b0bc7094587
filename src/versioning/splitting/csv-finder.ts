import { MalformedInputError } from '../errors.ts'
import {
  countLines,
  lineFeed,
  type RecordFinder,
  type RecordTarget,
  type Slice,
} from './records.ts'
import { LineFinder } from './line-finder.ts'

const quote = 0x22
const carriageReturn = 0x0d
/**
 * Comma, semicolon, tab, bar: what comes between fields. Which of them it is makes no difference to
 * where a well-formed record ends.
 */
const separators: ReadonlySet<number> = new Set([0x2c, 0x3b, 0x09, 0x7c])
/** The last byte of a byte order mark, which may come before the first field, and where it is. */
const markEnd = { byte: 0xbf, offset: 2 } as const

const advice =
  'if no field has a line break, split by line instead; else quote fields as RFC 4180 says'

/** Records of CSV as in RFC 4180: a line feed within quotes ends nothing. */
export class CsvFinder implements RecordFinder {
  readonly #path: string
  readonly #lines = new LineFinder()
  #state: 'plain' | 'quoted' | 'closed' = 'plain'
  /** The byte before the next one. */
  #previous = lineFeed
  /** Lines that ended in slices before this one. */
  #lineCount = 0
  /** Where the last quoted field began. */
  #opened = { byte: 0, line: 0 }

  /** `path` is what errors are about. */
  constructor(path: string) {
    this.#path = path
  }

  get isWithin(): boolean {
    return this.#previous !== lineFeed || this.#state !== 'plain'
  }

  advance(slice: Slice, at: number, target: RecordTarget): number {
    const { bytes } = slice
    const isSimple = this.#state === 'plain' && bytes.indexOf(quote, at) < 0
    const end = isSimple
      ? this.#lines.advance(slice, at, target)
      : this.#advanceQuoted(slice, at, target)
    if (isSimple) this.#previous = bytes[end - 1] ?? lineFeed
    if (end === bytes.length) this.#lineCount += countLines(bytes, 0, end)
    return end
  }

  finish(): void {
    if (this.#state !== 'quoted') return
    const { byte, line } = this.#opened
    throw new MalformedInputError({
      path: this.#path,
      byte,
      line,
      problem: `the quote that opens a field here is never closed; ${advice}`,
    })
  }

  #advanceQuoted(slice: Slice, at: number, target: RecordTarget): number {
    const { bytes } = slice
    const { recordsLeft, bytesLeft } = target
    let ended = 0
    let openedAt = -1
    for (let index = at; index < bytes.length; index += 1) {
      const byte = bytes[index] ?? 0
      if (this.#state === 'quoted') {
        if (byte === quote) this.#state = 'closed'
        continue
      }
      if (byte === quote) {
        if (this.#state === 'plain') {
          if (!this.#isFieldStart(slice.start + index)) throw this.#bareQuote(slice, index)
          openedAt = index
        }
        // A quote right behind one that closed: the two stand for one.
        this.#state = 'quoted'
        continue
      }
      if (this.#state === 'closed') {
        if (!endsField(byte)) throw this.#textBehindQuote(slice, index)
        this.#state = 'plain'
      }
      this.#previous = byte
      if (byte !== lineFeed) continue
      ended += 1
      const end = index + 1
      if (ended < recordsLeft && end - at < bytesLeft) continue
      target.add(bytes.subarray(at, end), ended)
      target.close()
      return end
    }
    if (this.#state === 'quoted' && openedAt >= 0) this.#opened = this.#place(slice, openedAt)
    target.add(bytes.subarray(at), ended)
    return bytes.length
  }

  #isFieldStart(offset: number): boolean {
    const previous = this.#previous
    if (previous === lineFeed || separators.has(previous)) return true
    return previous === markEnd.byte && offset === markEnd.offset + 1
  }

  #bareQuote(slice: Slice, index: number): MalformedInputError {
    const problem = `a quote stands within a field that does not begin with one; ${advice}`
    return new MalformedInputError({ path: this.#path, ...this.#place(slice, index), problem })
  }

  #textBehindQuote(slice: Slice, index: number): MalformedInputError {
    const problem = `text follows the quote that closes a field; ${advice}`
    return new MalformedInputError({ path: this.#path, ...this.#place(slice, index), problem })
  }

  /** Byte and line of the stream, both counted from 1. */
  #place({ bytes, start }: Slice, index: number): { byte: number; line: number } {
    return {
      byte: start + index + 1,
      line: this.#lineCount + countLines(bytes, 0, index) + 1,
    }
  }
}

function endsField(byte: number): boolean {
  return byte === lineFeed || byte === carriageReturn || separators.has(byte)
}
