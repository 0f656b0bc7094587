const newlineByte = 0x0a
/** What a line counts beside its bytes, so that very short ones are bounded, too. */
export const lineOverheadBytes = 16

/** The last bytes of an output that is too much to be looked at line by line. */
export class OutputTail {
  readonly #ring: Buffer
  /** Where the next byte goes. */
  #next = 0
  #bytesSeen = 0
  #newlineCount = 0

  constructor(bytesMax: number) {
    this.#ring = Buffer.allocUnsafeSlow(bytesMax)
  }

  push(bytes: Buffer): void {
    this.#newlineCount += newlinesIn(bytes)
    this.#bytesSeen += bytes.length
    const size = this.#ring.length
    const kept = bytes.subarray(Math.max(0, bytes.length - size))
    const untilEnd = kept.subarray(0, size - this.#next)
    untilEnd.copy(this.#ring, this.#next)
    kept.copy(this.#ring, 0, untilEnd.length)
    this.#next = (this.#next + kept.length) % size
  }

  /**
   * The last lines (each counting `lineOverheadBytes` more than it has), as far as they are kept: a
   * copy. Of one that is too long alone, its end. `leftOutCount`: the lines that came before.
   */
  last(): { readonly bytes: Buffer; readonly leftOutCount: number } {
    const isCut = this.#bytesSeen > this.#ring.length
    const kept = isCut
      ? Buffer.concat([this.#ring.subarray(this.#next), this.#ring.subarray(0, this.#next)])
      : Buffer.from(this.#ring.subarray(0, this.#bytesSeen))
    const start = startOfLast(kept, { bytesMax: this.#ring.length, isCut })
    const bytes = kept.subarray(start)
    const leftOutCount = this.#newlineCount - newlinesIn(bytes)
    return { bytes, leftOutCount: isCut || start > 0 ? Math.max(1, leftOutCount) : 0 }
  }
}

/** Where the last lines begin that together count at most `bytesMax`. */
function startOfLast(
  bytes: Buffer,
  { bytesMax, isCut }: { readonly bytesMax: number; readonly isCut: boolean },
): number {
  let start = bytes.length
  let bytesLeft = bytesMax
  while (start > 0) {
    const lineStart = start < 2 ? 0 : bytes.lastIndexOf(newlineByte, start - 2) + 1
    bytesLeft -= start - lineStart + lineOverheadBytes
    // Of the first line the beginning is gone.
    if (bytesLeft < 0 || (isCut && lineStart === 0)) break
    start = lineStart
  }
  return start === bytes.length ? Math.max(0, bytes.length - bytesMax) : start
}

/** A plain loop, for a call for each newline would cost more than all else. */
function newlinesIn(bytes: Buffer): number {
  let count = 0
  for (let at = 0; at < bytes.length; at += 1) if (bytes[at] === newlineByte) count += 1
  return count
}
