import { utf8, utf8Text } from '../base/bytes.ts'
import type { JobId } from '../base/names.ts'
import type { DatumKey } from './datums.ts'
import type { LogLine } from './executor.ts'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'

/** Of what one datum prints, in all its attempts, the first and the last so many bytes are kept. */
const headBytesMax = 256 * 1024
const tailBytesMax = 768 * 1024
/** What a line counts beside its text. */
const lineOverheadBytes = 16
const compressedFromBytes = 512
const plainFormat = 0
const zstdFormat = 1

/** Collects the lines of one datum: of very many, the first and the last. */
export class DatumLog {
  readonly #head: LogLine[] = []
  #headBytes = 0
  #tail: LogLine[] = []
  #tailBytes = 0
  /** Lines at the start of `#tail` that have been dropped. */
  #droppedInTail = 0
  #droppedCount = 0

  add(line: LogLine): void {
    const bytes = sizeOf(line)
    if (this.#tail.length === 0 && this.#headBytes + bytes <= headBytesMax) {
      this.#head.push(line)
      this.#headBytes += bytes
      return
    }
    this.#tail.push(line)
    this.#tailBytes += bytes
    while (this.#tailBytes > tailBytesMax) this.#dropOldest()
  }

  lines(): readonly LogLine[] {
    const tail = this.#tail.slice(this.#droppedInTail)
    const [next] = tail
    if (this.#droppedCount === 0 || next === undefined) return [...this.#head, ...tail]
    const text = `(${this.#droppedCount} lines were not kept here: of a datum, the first ${headBytesMax / 1024} KiB and the last ${tailBytesMax / 1024} KiB are)`
    return [...this.#head, { at: next.at, stream: 'stderr', text }, ...tail]
  }

  #dropOldest(): void {
    const oldest = this.#tail[this.#droppedInTail]
    if (oldest === undefined) return
    this.#tailBytes -= sizeOf(oldest)
    this.#droppedInTail += 1
    this.#droppedCount += 1
    // Now and then, so that dropping a line costs the same however many there are.
    if (this.#droppedInTail * 2 < this.#tail.length) return
    this.#tail = this.#tail.slice(this.#droppedInTail)
    this.#droppedInTail = 0
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
