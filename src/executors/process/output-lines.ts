import type { Clock } from '../../base/clock.ts'
import type { LogLine } from '../../pipelines/executor.ts'

/** A longer line is cut into several. */
export const lineBytesMax: number = 64 * 1024

const newlineByte = 0x0a
const lossyDecoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** What may still be kept of one datum's output, both streams together. */
export class OutputBudget {
  readonly #bytesMax: number
  #bytesLeft: number
  #noticeGiven = false

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
    this.#bytesLeft = bytesMax
  }

  /** True when `bytes` more may be kept. */
  take(bytes: number): boolean {
    this.#bytesLeft -= bytes
    return this.#bytesLeft >= 0
  }

  /** The line to keep instead of what is left out; once. */
  takeNotice(): string | undefined {
    if (this.#noticeGiven) return undefined
    this.#noticeGiven = true
    return `[the output of this datum beyond ${this.#bytesMax} bytes is not kept]`
  }
}

interface Reading {
  readonly marker: Buffer
  readonly budget: OutputBudget
  readonly onLine: (line: LogLine) => void
  readonly end: () => void
}

/**
 * Cuts one output stream into lines while it comes, and finds its end: a marker that nobody but the
 * runner knows, at the end of a line. Whatever comes while no datum is read is dropped.
 */
export class OutputLines {
  readonly #stream: LogLine['stream']
  readonly #clock: Clock
  #reading: Reading | undefined
  #parts: Buffer[] = []
  #partsBytes = 0

  constructor(stream: LogLine['stream'], clock: Clock) {
    this.#stream = stream
    this.#clock = clock
  }

  /** Hands on lines until `marker` comes. What `onLine` throws rejects. */
  read(marker: string, budget: OutputBudget, onLine: (line: LogLine) => void): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#forget()
      this.#reading = {
        marker: Buffer.from(marker),
        budget,
        onLine: (line) => {
          try {
            onLine(line)
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)))
          }
        },
        end: resolve,
      }
    })
  }

  /** Takes what the stream brought. */
  push(chunk: Buffer): void {
    let start = 0
    while (this.#reading !== undefined) {
      const end = chunk.indexOf(newlineByte, start)
      this.#add(chunk.subarray(start, end < 0 ? chunk.length : end))
      if (end < 0) {
        this.#cutLong(this.#reading, this.#reading.marker.length)
        return
      }
      this.#endLine(this.#reading)
      start = end + 1
    }
  }

  #add(part: Buffer): void {
    if (part.length === 0) return
    this.#parts.push(part)
    this.#partsBytes += part.length
  }

  #endLine(reading: Reading): void {
    const line = this.#joined()
    const textBytes = line.length - reading.marker.length
    if (textBytes >= 0 && line.subarray(textBytes).equals(reading.marker)) {
      this.#forget()
      if (textBytes > 0) this.#emitLong(reading, line.subarray(0, textBytes))
      this.#reading = undefined
      reading.end()
      return
    }
    this.#forget()
    this.#emitLong(reading, line)
  }

  /** Hands on the start of a line that has become too long, all but its last `keepBytes` bytes. */
  #cutLong(reading: Reading, keepBytes: number): void {
    if (this.#partsBytes < lineBytesMax + keepBytes) return
    let line = this.#joined()
    while (line.length >= lineBytesMax + keepBytes) line = this.#emitPiece(reading, line)
    this.#forget()
    // A copy, so that the whole buffer that it came in is not held.
    this.#add(Buffer.from(line))
  }

  #emitLong(reading: Reading, line: Buffer): void {
    let rest = line
    while (rest.length > lineBytesMax) rest = this.#emitPiece(reading, rest)
    this.#emit(reading, rest)
  }

  /** Hands on at most `lineBytesMax` bytes, without cutting a character; returns the rest. */
  #emitPiece(reading: Reading, line: Buffer): Buffer {
    let bytes = lineBytesMax
    while (bytes > lineBytesMax - 4 && isContinuation(line[bytes])) bytes -= 1
    this.#emit(reading, line.subarray(0, bytes))
    return line.subarray(bytes)
  }

  #emit(reading: Reading, text: Buffer): void {
    const kept = reading.budget.take(text.length + 1)
    const line = kept ? lossyDecoder.decode(text) : reading.budget.takeNotice()
    if (line === undefined) return
    reading.onLine({ at: this.#clock.now(), stream: this.#stream, text: line })
  }

  #joined(): Buffer {
    const [first] = this.#parts
    return first !== undefined && this.#parts.length === 1
      ? first
      : Buffer.concat(this.#parts, this.#partsBytes)
  }

  #forget(): void {
    this.#parts = []
    this.#partsBytes = 0
  }
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80
}
