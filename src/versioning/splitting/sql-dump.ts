import { concatBytes, copyBytes } from '../../base/bytes.ts'
import { GrowingBytes } from '../../base/growing-bytes.ts'
import { MalformedInputError } from '../errors.ts'
import { type Frame, FrameBytes } from './frame.ts'
import { countLines, lineFeed } from './records.ts'

/** The line before the rows, as pg_dump writes it. */
const copyLine = /^COPY\s.*\sFROM\s+stdin;\s*$/i
/** Of a line, so much is looked at to tell what it is. */
const lineBytesMax = 64 * 1024

const backslash = 0x5c
const point = 0x2e
const carriageReturn = 0x0d
/** A line that begins like the one behind the rows. */
const endLineStart = Buffer.from('\n\\.')

/**
 * Takes a dump of one table, as `pg_dump` writes it, apart: everything up to and with the line `COPY …
 * FROM stdin;` is the header, a row is a line, and the line `\.` and all behind it is the footer.
 */
export class SqlDump {
  readonly #path: string
  readonly #header: FrameBytes
  readonly #footer: FrameBytes
  readonly #onRows: (rows: Uint8Array) => void
  #part: 'header' | 'rows' | 'footer' = 'header'
  /** What has been passed on to one of the parts. */
  #bytes = 0
  #lines = 0
  /** The start of the line that a slice ended in: of the header and the footer. */
  #line = new LineStart()
  /** Of the rows: bytes at the start of a line that may turn out to be its end. */
  #held: Uint8Array = new Uint8Array(0)
  #isLineStart = true

  /** `onRows` takes the rows as they come, and copies what it keeps. `path` is for errors. */
  constructor(path: string, onRows: (rows: Uint8Array) => void) {
    this.#path = path
    this.#onRows = onRows
    this.#header = new FrameBytes(
      `the header of the dump put at "${path}" (all before a line COPY … FROM stdin;)`,
    )
    this.#footer = new FrameBytes(`the footer of the dump put at "${path}" (all behind its rows)`)
  }

  /** @throws {MalformedInputError} @throws {InvalidArgumentError} */
  push(slice: Uint8Array): void {
    let rest = slice
    if (this.#part === 'header') rest = this.#takeHeader(rest)
    if (this.#part === 'rows') rest = this.#takeRows(rest)
    if (this.#part === 'footer') this.#takeFooter(rest)
  }

  /** The stream has ended; nothing came: undefined. @throws {MalformedInputError} */
  finish(): Frame | undefined {
    if (this.#part === 'header') {
      if (this.#bytes === 0) return undefined
      if (!copyLine.test(this.#line.text)) {
        throw this.#malformed(
          'the dump ends without a line COPY … FROM stdin; with rows behind it: make it with pg_dump --table=NAME, in plain format and without --inserts or --schema-only',
        )
      }
    }
    if (this.#part === 'rows' && this.#held.length > 1) {
      // The last line, without a line feed.
      this.#footer.add(this.#held)
      this.#part = 'footer'
    }
    if (this.#part !== 'footer') {
      throw this.#malformed('the dump is cut off: its rows do not end with a line \\.')
    }
    return { header: this.#header.joined(), footer: this.#footer.joined() }
  }

  /** Returns what comes behind the header. */
  #takeHeader(slice: Uint8Array): Uint8Array {
    for (let at = 0; ;) {
      const newline = slice.indexOf(lineFeed, at)
      if (newline < 0) {
        this.#line.add(slice.subarray(at))
        this.#keep(this.#header, slice)
        return nothing
      }
      this.#line.add(slice.subarray(at, newline))
      at = newline + 1
      const { text } = this.#line
      this.#line = new LineStart()
      if (!copyLine.test(text)) continue
      this.#keep(this.#header, slice.subarray(0, at))
      this.#part = 'rows'
      return slice.subarray(at)
    }
  }

  /** Returns what comes behind the rows: the footer. */
  #takeRows(slice: Uint8Array): Uint8Array {
    const bytes = this.#held.length === 0 ? slice : concatBytes([this.#held, slice])
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#held = nothing
    for (let from = 0; ;) {
      const at = this.#nextLineStart(view, from)
      if (at === undefined) break
      const kind = this.#isEndLine(view, at)
      if (kind === 'no') {
        from = at
        this.#isLineStart = false
        continue
      }
      this.#passRows(bytes.subarray(0, at))
      if (kind === 'unknown') {
        this.#isLineStart = true
        this.#held = copyBytes(bytes.subarray(at))
        return nothing
      }
      this.#part = 'footer'
      return bytes.subarray(at)
    }
    this.#passRows(bytes)
    this.#isLineStart = bytes.length === 0 ? this.#isLineStart : bytes.at(-1) === lineFeed
    return nothing
  }

  /** Where the next line begins that is, or may become, the end of the rows. */
  #nextLineStart(view: Buffer, from: number): number | undefined {
    if (from === 0 && this.#isLineStart && view[0] === backslash) return 0
    const found = view.indexOf(endLineStart, from)
    if (found >= 0) return found + 1
    const last = view.length - 1
    const isCut = last > from && view[last] === backslash && view[last - 1] === lineFeed
    return isCut ? last : undefined
  }

  /** Whether the line at `at` is `\.` and nothing else. */
  #isEndLine(bytes: Uint8Array, at: number): 'yes' | 'no' | 'unknown' {
    if (bytes[at] !== backslash) return 'no'
    if (at + 1 === bytes.length) return 'unknown'
    if (bytes[at + 1] !== point) return 'no'
    const feedAt = bytes[at + 2] === carriageReturn ? at + 3 : at + 2
    if (feedAt >= bytes.length) return 'unknown'
    return bytes[feedAt] === lineFeed ? 'yes' : 'no'
  }

  #passRows(rows: Uint8Array): void {
    this.#count(rows)
    if (rows.length > 0) this.#onRows(rows)
  }

  #takeFooter(slice: Uint8Array): void {
    for (let at = 0; ;) {
      const newline = slice.indexOf(lineFeed, at)
      const before = this.#line.sizeBytes
      this.#line.add(newline < 0 ? slice.subarray(at) : slice.subarray(at, newline))
      if (newline < 0) break
      const { text } = this.#line
      this.#line = new LineStart()
      if (copyLine.test(text)) {
        this.#count(slice.subarray(0, at))
        this.#bytes -= before
        throw this.#malformed(
          'the dump has the rows of a second table: dump each table by itself, with pg_dump --table=NAME',
        )
      }
      at = newline + 1
    }
    this.#keep(this.#footer, slice)
  }

  #keep(part: FrameBytes, bytes: Uint8Array): void {
    this.#count(bytes)
    part.add(bytes)
  }

  #count(bytes: Uint8Array): void {
    this.#bytes += bytes.length
    this.#lines += countLines(bytes, 0, bytes.length)
  }

  /** About what comes next. */
  #malformed(problem: string): MalformedInputError {
    return new MalformedInputError({
      path: this.#path,
      byte: this.#bytes + 1,
      line: this.#lines + 1,
      problem,
    })
  }
}

const nothing = new Uint8Array(0)

/** The start of a line. */
class LineStart {
  readonly #bytes = new GrowingBytes()

  /** A character for each byte. */
  get text(): string {
    return Buffer.from(this.#bytes.joined()).toString('latin1')
  }

  get sizeBytes(): number {
    return this.#bytes.sizeBytes
  }

  add(bytes: Uint8Array): void {
    const room = lineBytesMax - this.#bytes.sizeBytes
    if (room > 0) this.#bytes.add(bytes.subarray(0, room))
  }
}
