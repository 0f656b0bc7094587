import { copyBytes } from '../../base/bytes.ts'
import { Segment, segmentAt, segmentBytesMax, type SegmentBudget } from './segments.ts'

/** Pieces that are fetched before they are asked for. */
const aheadCount = 2
/** The kernel's own reading ahead asks in any order, within this. */
const nearBytes = 2 * 1024 * 1024
/** Places where different readers of one open file are. */
const placesMax = 4

export type ReadRange = (offset: number, size: number) => AsyncIterable<Uint8Array>

/** Reads an open file: ahead where it is read in order, else what is asked for. */
export class FileReader {
  readonly #read: ReadRange
  readonly #budget: SegmentBudget
  readonly #segments = new Map<number, Segment>()
  /** Where reads ended, the last one last. */
  #places: readonly number[] = [0]

  constructor(read: ReadRange, budget: SegmentBudget) {
    this.#read = read
    this.#budget = budget
  }

  /** The bytes of a file of `sizeBytes`, in parts, which are good until the event loop goes on. */
  async read(offset: number, size: number, sizeBytes: number): Promise<readonly Uint8Array[]> {
    const end = Math.min(offset + size, sizeBytes)
    if (offset >= end) return []
    const place = this.#places.find((at) => Math.abs(offset - at) <= nearBytes)
    this.#places = [...this.#places.filter((at) => at !== place), Math.max(place ?? 0, end)].slice(
      -placesMax,
    )
    if (place === undefined) return this.#readAlone(offset, end - offset)
    const pieces: Piece[] = []
    let at = offset
    while (at < end) {
      const { start, size: length } = segmentAt(at)
      const to = Math.min(end, start + length)
      pieces.push({ segment: this.#segment(at, sizeBytes), from: at, to })
      at = to
    }
    if (offset > 0) this.#readAhead(at, sizeBytes)
    return joined(pieces)
  }

  /** No more reads will come. */
  close(): void {
    for (const segment of this.#segments.values()) this.#budget.remove(segment)
    this.#segments.clear()
  }

  async #readAlone(offset: number, size: number): Promise<readonly Uint8Array[]> {
    const parts: Uint8Array[] = []
    for await (const slice of this.#read(offset, size)) parts.push(slice)
    return parts
  }

  #readAhead(from: number, sizeBytes: number): void {
    let at = from
    for (let count = 0; count < aheadCount && at < sizeBytes; count += 1) {
      this.#segment(at, sizeBytes)
      const { start, size } = segmentAt(at)
      at = start + size
    }
    // What lies well behind is not asked for again.
    for (const [start, segment] of this.#segments) {
      if (start + 2 * segmentBytesMax < from) this.#drop(start, segment)
    }
  }

  #segment(offset: number, sizeBytes: number): Segment {
    const { start, size } = segmentAt(offset)
    const known = this.#segments.get(start)
    if (known !== undefined && !known.failed) {
      this.#budget.use(known, () => this.#segments.delete(start))
      return known
    }
    const sizeMax = Math.min(size, sizeBytes - start)
    const segment = new Segment(start, this.#budget.memory(sizeMax), this.#read(start, sizeMax))
    this.#segments.set(start, segment)
    this.#budget.use(segment, () => this.#segments.delete(start))
    return segment
  }

  #drop(start: number, segment: Segment): void {
    this.#segments.delete(start)
    this.#budget.remove(segment)
  }
}

interface Piece {
  readonly segment: Segment
  readonly from: number
  readonly to: number
}

async function joined(pieces: readonly Piece[]): Promise<readonly Uint8Array[]> {
  const parts: Uint8Array[] = []
  for (const { segment, from, to } of pieces) {
    // One that is here may be gone before the next has come, so it is copied.
    const view = segment.bytes(from, to)
    parts.push(pieces.length === 1 ? await view : copyBytes(await view))
  }
  return parts
}
