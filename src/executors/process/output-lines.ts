import type { Clock } from '../../base/clock.ts'
import type { DatumRun, LogLine } from '../../pipelines/executor.ts'
import { lineOverheadBytes, OutputTail } from './output-tail.ts'

/** A longer line is cut into several. */
export const lineBytesMax: number = 64 * 1024
/** Of output that is too much, the last so many bytes of a stream are looked at. */
const tailBytesMax = 512 * 1024
/** After this long as much again is looked at line by line. */
const budgetWindowMs = 10_000

const newlineByte = 0x0a
const replacementCharacter = '\ufffd'
const lossyDecoder = new TextDecoder('utf-8', { ignoreBOM: true })

/**
 * How much of one stream of a datum's output is looked at line by line, at once when it comes: so much in each window of time, for lines cost much more than bytes.
 */
export class OutputBudget {
  readonly #bytesMax: number
  readonly #clock: Clock
  #bytesLeft: number
  #sinceMs: number

  constructor(bytesMax: number, clock: Clock) {
    this.#bytesMax = bytesMax
    this.#clock = clock
    this.#bytesLeft = bytesMax
    this.#sinceMs = clock.monotonicMs()
  }

  take(bytes: number): void {
    this.#bytesLeft -= bytes
  }

  isSpent(): boolean {
    if (this.#bytesLeft > 0) return false
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#sinceMs < budgetWindowMs) return true
    this.#sinceMs = nowMs
    this.#bytesLeft = this.#bytesMax
    return false
  }
}

type Receiver = Pick<DatumRun, 'onLine' | 'onLeftOut'>

interface Reading extends Receiver {
  readonly budget: OutputBudget
}

/**
 * Cuts the output of one datum after the other into lines while it comes. What comes while no datum
 * is read is dropped. While the budget is spent, only the last lines are looked at, once there is
 * budget again or the end has come.
 */
export class OutputLines {
  readonly #stream: LogLine['stream']
  readonly #clock: Clock
  #reading: Reading | undefined
  #parts: Buffer[] = []
  #partsBytes = 0
  /** While the budget is spent. */
  #tail: OutputTail | undefined
  #failure: { readonly reason: unknown } | undefined

  constructor(stream: LogLine['stream'], clock: Clock) {
    this.#stream = stream
    this.#clock = clock
  }

  /** From now on lines are handed on. */
  begin(budget: OutputBudget, receiver: Receiver): void {
    this.#forget()
    this.#tail = undefined
    this.#failure = undefined
    const guarded =
      <Value>(receive: (value: Value) => void) =>
      (value: Value): void => {
        try {
          receive(value)
        } catch (error) {
          this.#failure ??= { reason: error }
        }
      }
    const { onLine, onLeftOut } = receiver
    this.#reading = { budget, onLine: guarded(onLine), onLeftOut: guarded(onLeftOut) }
  }

  /** Hands on what has been held back until now, be it an unfinished line. Throws what the receiver threw first. */
  end(): void {
    const reading = this.#reading
    if (reading === undefined) return
    if (this.#tail !== undefined) this.#emitTail(reading, this.#tail)
    if (this.#partsBytes > 0) this.#emitLong(reading, this.#joined())
    this.#forget()
    this.#reading = undefined
    if (this.#failure !== undefined) throw this.#failure.reason
  }

  /** Takes what the stream brought. */
  push(bytes: Buffer): void {
    const reading = this.#reading
    if (reading === undefined) return
    let start = 0
    while (start < bytes.length) {
      if (this.#tail !== undefined) {
        this.#pushBlock(reading, this.#tail, bytes.subarray(start))
        return
      }
      if (reading.budget.isSpent()) this.#tail = new OutputTail(tailBytesMax)
      else start = this.#pushLine(reading, bytes, start)
    }
  }

  /** Takes up to the next newline; returns where the rest begins. */
  #pushLine(reading: Reading, bytes: Buffer, start: number): number {
    const end = bytes.indexOf(newlineByte, start)
    this.#add(bytes.subarray(start, end < 0 ? bytes.length : end))
    if (end >= 0) this.#endLine(reading)
    else this.#cutLong(reading)
    return end < 0 ? bytes.length : end + 1
  }

  /** Looks at no line. */
  #pushBlock(reading: Reading, tail: OutputTail, bytes: Buffer): void {
    if (this.#partsBytes > 0) tail.push(this.#joined())
    this.#forget()
    tail.push(bytes)
    if (!reading.budget.isSpent()) this.#emitTail(reading, tail)
  }

  /** Hands on the tail's last lines; an unfinished one stays for more to come. */
  #emitTail(reading: Reading, tail: OutputTail): void {
    const { bytes, leftOutCount } = tail.last()
    this.#tail = undefined
    if (leftOutCount > 0) reading.onLeftOut(leftOutCount)
    let start = 0
    for (let end = bytes.indexOf(newlineByte); end >= 0; end = bytes.indexOf(newlineByte, start)) {
      this.#emitLong(reading, bytes.subarray(start, end))
      start = end + 1
    }
    this.#add(bytes.subarray(start))
  }

  #add(part: Buffer): void {
    if (part.length === 0) return
    this.#parts.push(part)
    this.#partsBytes += part.length
  }

  #endLine(reading: Reading): void {
    const line = this.#joined()
    this.#forget()
    this.#emitLong(reading, line)
  }

  /** Hands on the start of a line that has become too long. */
  #cutLong(reading: Reading): void {
    if (this.#partsBytes <= lineBytesMax) return
    let line = this.#joined()
    while (line.length > lineBytesMax) line = this.#emitPiece(reading, line)
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
    reading.budget.take(text.length + lineOverheadBytes)
    const line = lossyDecoder.decode(text)
    const isWhole = !line.includes(replacementCharacter) || Buffer.from(line).equals(text)
    reading.onLine({
      at: this.#clock.now(),
      stream: this.#stream,
      text: line,
      ...(!isWhole && { bytes: Uint8Array.from(text) }),
    })
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
