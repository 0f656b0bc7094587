import type { ByteStream } from '../../base/bytes.ts'

/** A stream that is to be split. */
export interface SplitSource {
  readonly bytes: ByteStream
  /** Where the pieces go: what errors are about. */
  readonly path: string
  readonly signal: AbortSignal | undefined
}

/** A slice of a stream, and how much of the stream is before it. */
export interface Slice {
  readonly bytes: Uint8Array
  readonly start: number
}

/** Where records go until it is full. */
export interface RecordTarget {
  /** It is full with so many records more; Infinity without such a bound. */
  readonly recordsLeft: number
  /** It is full with the record that brings so many bytes more; Infinity without such a bound. */
  readonly bytesLeft: number
  /**
   * Takes the next bytes. Of `ended`, the records that end in them, a target without a bound on
   * records may be told less.
   */
  add(bytes: Uint8Array, ended: number): void
  /** It is full: what comes next is for another. */
  close(): void
}

/** Finds where the records of one stream end. */
export interface RecordFinder {
  /**
   * Adds to `target` what `slice` holds from `at` on: to the end of the record that fills it, which is
   * then closed, or to the end of the slice. Returns where it stopped.
   *
   * @throws {MalformedInputError}
   */
  advance(slice: Slice, at: number, target: RecordTarget): number
  /** The last slice ended within a record, which the end of the stream ends, too. */
  readonly isWithin: boolean
  /**
   * The stream has ended.
   *
   * @throws {MalformedInputError} when it ends within a record.
   */
  finish(): void
}

export const lineFeed = 0x0a

/** How many lines end within bytes. */
export function countLines(bytes: Uint8Array, from: number, to: number): number {
  const within = bytes.subarray(from, to)
  let count = 0
  for (let at = within.indexOf(lineFeed); at >= 0; at = within.indexOf(lineFeed, at + 1)) count += 1
  return count
}
