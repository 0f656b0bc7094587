import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { utf8, utf8Text } from '../base/bytes.ts'
import type { Instant } from '../base/clock.ts'
import type { LogLine } from './executor.ts'

/**
 * Of what one datum prints, in all its attempts, the first so many bytes are kept, and the last ones
 * of each stream, so that an error is not lost among what the other stream brings.
 */
const headBytesMax = 256 * 1024
const tailBytesMax = 384 * 1024
/** What a line counts beside its text. */
const lineOverheadBytes = 16
const compressedFromBytes = 512
const plainFormat = 0
const zstdFormat = 1

/** A line of a datum's log; a `note` is ours, for people. */
export interface KeptLine extends Omit<LogLine, 'stream'> {
  readonly stream: LogLine['stream'] | 'note'
}

/** Collects the lines of one datum: of very many, the first and the last of each stream. */
export class DatumLog {
  readonly #head: KeptLine[] = []
  #headBytes = 0
  #isHeadFull = false
  readonly #tails = { stdout: new LogTail(), stderr: new LogTail() }
  /** Lines that never came here. */
  #missedCount = 0

  add(line: KeptLine): void {
    const bytes = sizeOf(line)
    this.#isHeadFull ||= this.#headBytes + bytes > headBytesMax
    if (this.#isHeadFull) {
      this.#tails[line.stream === 'note' ? 'stderr' : line.stream].add(line)
      return
    }
    this.#head.push(line)
    this.#headBytes += bytes
  }

  note(text: string, at: Instant): void {
    this.add({ at, stream: 'note', text })
  }

  /** Counts lines that whoever runs the datum left out. */
  leaveOut(lineCount: number): void {
    this.#missedCount += lineCount
    this.#isHeadFull = true
  }

  /** Lines that are not kept. */
  get leftOutCount(): number {
    return this.#missedCount + this.#tails.stdout.droppedCount + this.#tails.stderr.droppedCount
  }

  lines(): readonly KeptLine[] {
    const { stdout, stderr } = this.#tails
    const tail = [...stdout.lines(), ...stderr.lines()].toSorted(({ at }, { at: of }) => at - of)
    const [next] = tail
    const { leftOutCount } = this
    if (leftOutCount === 0 || next === undefined) return [...this.#head, ...tail]
    const kept = `the first ${headBytesMax / 1024} KiB and the last ${tailBytesMax / 1024} KiB of each stream`
    const text = `(${leftOutCount} lines were not kept here: of a datum, ${kept} are)`
    return [...this.#head, { at: next.at, stream: 'note', text }, ...tail]
  }
}

/** The last lines of one stream. */
class LogTail {
  droppedCount = 0
  #lines: KeptLine[] = []
  #bytes = 0
  /** Lines at the start of `#lines` that have been dropped. */
  #droppedHere = 0

  add(line: KeptLine): void {
    this.#lines.push(line)
    this.#bytes += sizeOf(line)
    while (this.#bytes > tailBytesMax) this.#dropOldest()
  }

  lines(): readonly KeptLine[] {
    return this.#lines.slice(this.#droppedHere)
  }

  #dropOldest(): void {
    const oldest = this.#lines[this.#droppedHere]
    if (oldest === undefined) return
    this.#bytes -= sizeOf(oldest)
    this.#droppedHere += 1
    this.droppedCount += 1
    // Now and then, so that dropping a line costs the same however many there are.
    if (this.#droppedHere * 2 < this.#lines.length) return
    this.#lines = this.#lines.slice(this.#droppedHere)
    this.#droppedHere = 0
  }
}

function sizeOf({ text, bytes }: KeptLine): number {
  return text.length + (bytes?.length ?? 0) + lineOverheadBytes
}

type LineRow =
  | readonly [at: number, stream: KeptLine['stream'], text: string]
  | readonly [at: number, stream: KeptLine['stream'], text: string, base64: string]

/** Layout: `docs/formats/datums.md`. */
export function encodeLog(lines: readonly KeptLine[]): Uint8Array {
  const rows = lines.map(({ at, stream, text, bytes }): LineRow =>
    bytes === undefined
      ? [at, stream, text]
      : [at, stream, text, Buffer.from(bytes).toString('base64')],
  )
  const json = utf8(JSON.stringify(rows))
  const compressed = json.length >= compressedFromBytes
  const body = compressed ? zstdCompressSync(json) : json
  const encoded = new Uint8Array(body.length + 1)
  encoded[0] = compressed ? zstdFormat : plainFormat
  encoded.set(body, 1)
  return encoded
}

export function decodeLog(encoded: Uint8Array): readonly KeptLine[] {
  const body = encoded.subarray(1)
  const json = encoded[0] === zstdFormat ? zstdDecompressSync(body) : body
  const rows = JSON.parse(utf8Text(json)) as readonly LineRow[]
  return rows.map(([at, stream, text, base64]) => ({
    at,
    stream,
    text,
    ...(base64 !== undefined && { bytes: new Uint8Array(Buffer.from(base64, 'base64')) }),
  }))
}
