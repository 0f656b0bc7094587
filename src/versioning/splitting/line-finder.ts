import { lineFeed, type RecordFinder, type RecordTarget, type Slice } from './records.ts'

/** A record is everything up to and with a line feed, or to the end of the stream. */
export class LineFinder implements RecordFinder {
  #isWithin = false

  get isWithin(): boolean {
    return this.#isWithin
  }

  advance({ bytes }: Slice, at: number, target: RecordTarget): number {
    const { recordsLeft, bytesLeft } = target
    let end = at
    for (let ended = 1; ; ended += 1) {
      // Where lines are not counted, those that cannot fill the target need not be found.
      const from = recordsLeft === Infinity ? Math.max(end, at + bytesLeft - 1) : end
      const newline = from < bytes.length ? bytes.indexOf(lineFeed, from) : -1
      if (newline < 0) {
        target.add(bytes.subarray(at), ended - 1)
        this.#isWithin = bytes.at(-1) !== lineFeed
        return bytes.length
      }
      end = newline + 1
      if (ended < recordsLeft && end - at < bytesLeft) continue
      target.add(bytes.subarray(at, end), ended)
      target.close()
      this.#isWithin = false
      return end
    }
  }

  finish(): void {
    // Any bytes are lines.
  }
}
