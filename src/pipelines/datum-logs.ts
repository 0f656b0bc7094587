import { utf8, utf8Text } from '../base/bytes.ts'
import type { JobId } from '../base/names.ts'
import type { DatumKey } from './datums.ts'
import type { LogLine } from './executor.ts'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'

/** The most that is kept of one datum's output; what is beyond is counted, not kept. */
const logBytesMax = 1024 * 1024
const compressedFromBytes = 512
const plainFormat = 0
const zstdFormat = 1

/** Collects the lines of one datum, up to `logBytesMax`. */
export class DatumLog {
  readonly #lines: LogLine[] = []
  #bytes = 0
  #droppedCount = 0

  add(line: LogLine): void {
    this.#bytes += line.text.length + 32
    if (this.#bytes > logBytesMax) this.#droppedCount += 1
    else this.#lines.push(line)
  }

  lines(): readonly LogLine[] {
    const last = this.#lines.at(-1)
    if (this.#droppedCount === 0 || last === undefined) return this.#lines
    const text = `(${this.#droppedCount} more lines were not kept: a datum's log ends at 1 MiB)`
    return [...this.#lines, { at: last.at, stream: 'stderr', text }]
  }
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
