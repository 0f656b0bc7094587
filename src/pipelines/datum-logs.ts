import { utf8, utf8Text } from '../base/bytes.ts'
import type { JobId } from '../base/names.ts'
import type { DatumKey } from './datums.ts'
import type { LogLine } from './executor.ts'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'

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

/** Collects the lines of one datum: of very many, the first and the last of each stream. */
export class DatumLog {
  readonly #head: LogLine[] = []
  #headBytes = 0
  #isHeadFull = false
  readonly #tails = { stdout: new LogTail(), stderr: new LogTail() }
  /** Lines that never came here. */
  #leftOutCount = 0

  add(line: LogLine): void {
    const bytes = sizeOf(line)
    this.#isHeadFull ||= this.#headBytes + bytes > headBytesMax
    if (this.#isHeadFull) return this.#tails[line.stream].add(line)
    this.#head.push(line)
    this.#headBytes += bytes
  }

  /** Counts lines that whoever runs the datum left out. */
  leaveOut(lineCount: number): void {
    this.#leftOutCount += lineCount
    this.#isHeadFull = true
  }

  lines(): readonly LogLine[] {
    const { stdout, stderr } = this.#tails
    const tail = [...stdout.lines(), ...stderr.lines()].toSorted(({ at }, { at: of }) => at - of)
    const [next] = tail
    const leftOutCount = this.#leftOutCount + stdout.droppedCount + stderr.droppedCount
    if (leftOutCount === 0 || next === undefined) return [...this.#head, ...tail]
    const kept = `the first ${headBytesMax / 1024} KiB and the last ${tailBytesMax / 1024} KiB of each stream`
    const text = `(${leftOutCount} lines were not kept here: of a datum, ${kept} are)`
    return [...this.#head, { at: next.at, stream: 'stderr', text }, ...tail]
  }
}

/** The last lines of one stream. */
class LogTail {
  droppedCount = 0
  #lines: LogLine[] = []
  #bytes = 0
  /** Lines at the start of `#lines` that have been dropped. */
  #droppedHere = 0

  add(line: LogLine): void {
    this.#lines.push(line)
    this.#bytes += sizeOf(line)
    while (this.#bytes > tailBytesMax) this.#dropOldest()
  }

  lines(): readonly LogLine[] {
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

function sizeOf(line: LogLine): number {
  return line.text.length + lineOverheadBytes
}

/** Layout: `docs/formats/datums.md`. */
export function encodeLog(lines: readonly LogLine[]): Uint8Array {
  const text = utf8(JSON.stringify(lines.map(({ at, stream, text: line }) => [at, stream, line])))
  const compressed = text.length >= compressedFromBytes
  const body = compressed ? zstdCompressSync(text) : text
  const encoded = new Uint8Array(body.length + 1)
  encoded[0] = compressed ? zstdFormat : plainFormat
  encoded.set(body, 1)
  return encoded
}

export function decodeLog(encoded: Uint8Array): readonly LogLine[] {
  const body = encoded.subarray(1)
  const text = encoded[0] === zstdFormat ? zstdDecompressSync(body) : body
  const rows = JSON.parse(utf8Text(text)) as readonly [number, LogLine['stream'], string][]
  return rows.map(([at, stream, line]) => ({ at, stream, text: line }))
}

/** The logs of datums that run now, by job: what is recorded is read from there. */
export class RunningLogs {
  readonly #jobs = new Map<JobId, Map<DatumKey, DatumLog>>()

  open(job: JobId, datum: DatumKey): DatumLog {
    const logs = this.#jobs.get(job) ?? new Map<DatumKey, DatumLog>()
    const log = new DatumLog()
    logs.set(datum, log)
    this.#jobs.set(job, logs)
    return log
  }

  close(job: JobId, datum: DatumKey): void {
    const logs = this.#jobs.get(job)
    logs?.delete(datum)
    if (logs?.size === 0) this.#jobs.delete(job)
  }

  of(job: JobId): ReadonlyMap<DatumKey, DatumLog> {
    return this.#jobs.get(job) ?? new Map()
  }
}
