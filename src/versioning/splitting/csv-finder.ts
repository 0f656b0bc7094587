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
const [comma, semicolon, tab, bar] = [0x2c, 0x3b, 0x09, 0x7c]
/** The last byte of a byte order mark, which may come before the first field, and where it is. */
const markEnd = { byte: 0xbf, offset: 2 } as const

/** As numbers, since it is asked for each byte. */
const State = {
  plain: 0,
  quoted: 1,
  /** Right behind a quote that may close a field. */
  closed: 2,
} as const
type State = (typeof State)[keyof typeof State]

const advice =
  'if no field has a line break, split by line instead; else quote fields as RFC 4180 says'

/** Records of CSV as in RFC 4180: a line feed within quotes ends nothing. */
export class CsvFinder implements RecordFinder {
  readonly #path: string
  readonly #lines = new LineFinder()
  #state: State = State.plain
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
    return this.#previous !== lineFeed || this.#state !== State.plain
  }

  advance(slice: Slice, at: number, target: RecordTarget): number {
    const { bytes } = slice
    const isSimple = this.#state === State.plain && bytes.indexOf(quote, at) < 0
    const end = isSimple
      ? this.#lines.advance(slice, at, target)
      : this.#advanceQuoted(slice, at, target)
    if (isSimple) this.#previous = bytes[end - 1] ?? lineFeed
    if (end === bytes.length) this.#lineCount += countLines(bytes, 0, end)
    return end
  }

  finish(): void {
    if (this.#state !== State.quoted) return
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
    let state = this.#state
    let previous = this.#previous
    let ended = 0
    let end = 0
    let openedAt = -1
    for (let index = at; index < bytes.length && end === 0; index += 1) {
      if (state === State.quoted) {
        index = runEnd(bytes, index, quote, quote)
        if (index < bytes.length) state = State.closed
        continue
      }
      const byte = bytes[index] ?? 0
      if (byte === quote) {
        if (state === State.plain) {
          if (!isFieldStart(previous, slice.start + index)) throw this.#bareQuote(slice, index)
          openedAt = index
        }
        // A quote right behind one that closed: the two stand for one.
        state = State.quoted
        continue
      }
      if (state === State.closed && !endsField(byte)) throw this.#textBehindQuote(slice, index)
      state = State.plain
      if (byte !== lineFeed) {
        index = runEnd(bytes, index, quote, lineFeed) - 1
        previous = bytes[index] ?? 0
        continue
      }
      previous = byte
      ended += 1
      if (ended >= recordsLeft || index + 1 - at >= bytesLeft) end = index + 1
    }
    this.#state = state
    this.#previous = previous
    if (state === State.quoted && openedAt >= 0) this.#opened = this.#place(slice, openedAt)
    target.add(end === 0 ? bytes.subarray(at) : bytes.subarray(at, end), ended)
    if (end > 0) target.close()
    return end === 0 ? bytes.length : end
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

/** Where the run of bytes from `from` on ends that are neither of the two. */
function runEnd(bytes: Uint8Array, from: number, first: number, second: number): number {
  let index = from
  while (index < bytes.length && bytes[index] !== first && bytes[index] !== second) index += 1
  return index
}

/** Which of them comes between fields makes no difference to where a well-formed record ends. */
function isSeparator(byte: number): boolean {
  return byte === comma || byte === semicolon || byte === tab || byte === bar
}

function isFieldStart(previous: number, offset: number): boolean {
  if (previous === lineFeed || isSeparator(previous)) return true
  return previous === markEnd.byte && offset === markEnd.offset + 1
}

function endsField(byte: number): boolean {
  return byte === lineFeed || byte === carriageReturn || isSeparator(byte)
}
