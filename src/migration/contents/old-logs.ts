import { fromJson, type JsonValue } from '@bufbuild/protobuf'
import type { Instant } from '../../base/clock.ts'
import { GrowingBytes } from '../../base/growing-bytes.ts'
import { LogMessageSchema, type LogMessage } from '../../gen/pps_pb.ts'
import { instantOfTime } from '../../legacy/old-records.ts'
import { DatumLog, type KeptLine } from '../../pipelines/datum-logs.ts'

/** A longer line of a log is left out: what is kept of the end has room for one. */
const lineBytesMax = 256 * 1024
const lineEnd = 0x0a

export interface OldLog {
  readonly lines: readonly KeptLine[]
  /** Not all of it is kept; a line says where. */
  readonly isCut: boolean
}

/**
 * Reads the log of a datum of 1.5, a JSON message on each line, while it comes: the lines of user code
 * are kept, of very many the first and the last. Holds what it keeps, and a line.
 */
export class OldLogReader {
  readonly #log = new DatumLog()
  readonly #line = new GrowingBytes()
  /** Of the line that comes. */
  #lineBytes = 0
  #hasLongLine = false
  /** When the last line was printed. */
  #at: Instant
  /** Lines that are not what 1.5 writes. */
  unreadableCount = 0

  /** `at`: when, of lines that do not say it. */
  constructor(at: Instant) {
    this.#at = at
  }

  /** Copies what it keeps. */
  push(bytes: Uint8Array): void {
    for (let start = 0; start < bytes.length;) {
      const end = bytes.indexOf(lineEnd, start)
      this.#grow(bytes.subarray(start, end === -1 ? bytes.length : end))
      if (end === -1) return
      this.#endLine()
      start = end + 1
    }
  }

  end(): void {
    this.#endLine()
  }

  /** Says in the log that something is missing here, and why. A line that was begun goes, too. */
  leaveOut(reason: string): void {
    this.#line.clear()
    this.#lineBytes = 0
    this.#log.note(`(${reason})`, this.#at)
  }

  log(): OldLog {
    return { lines: this.#log.lines(), isCut: this.#hasLongLine || this.#log.leftOutCount > 0 }
  }

  #grow(bytes: Uint8Array): void {
    this.#lineBytes += bytes.length
    if (this.#lineBytes <= lineBytesMax) this.#line.add(bytes)
  }

  #endLine(): void {
    const [bytes, sizeBytes] = [this.#line.joined(), this.#lineBytes]
    if (sizeBytes > lineBytesMax) {
      this.#hasLongLine = true
      this.leaveOut(`a line of ${sizeBytes} bytes was not kept here`)
      return
    }
    this.#line.clear()
    this.#lineBytes = 0
    if (sizeBytes === 0) return
    const message = messageOf(Buffer.from(bytes).toString())
    if (message === undefined) {
      this.unreadableCount += 1
      this.leaveOut('a line could not be read in the old cluster')
      return
    }
    this.#at = instantOfTime(message.ts) ?? this.#at
    if (!message.user) return
    this.#log.add({ at: this.#at, stream: 'stdout', text: message.message.replace(/\n$/, '') })
  }
}

function messageOf(line: string): LogMessage | undefined {
  try {
    return fromJson(LogMessageSchema, JSON.parse(line) as JsonValue, { ignoreUnknownFields: true })
  } catch {
    return undefined
  }
}
