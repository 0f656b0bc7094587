import { asError } from '../errors.ts'
/** The largest piece that is fetched at once. */
export const segmentBytesMax: number = 4 * 1024 * 1024
const segmentBytesMin = 256 * 1024
/** Pieces that are kept for all open files together: 96 MiB. */
const segmentsMax = 24
/** Memory of pieces that are gone, for others: taking new memory each time is half of the work. */
const sparesMax = 4

/** A piece of a file on its way, or here. */
export class Segment {
  readonly start: number
  readonly #bytes: Uint8Array
  #size = 0
  #isDone = false
  #readerCount = 0
  #failure: Error | undefined
  #arrived = Promise.withResolvers<void>()

  constructor(start: number, bytes: Uint8Array, slices: AsyncIterable<Uint8Array>) {
    this.start = start
    this.#bytes = bytes
    void this.#fill(slices)
  }

  /** Its memory, when nobody uses it any more. */
  get spare(): Uint8Array | undefined {
    return this.#isDone && this.#readerCount === 0 ? this.#bytes : undefined
  }

  get failed(): boolean {
    return this.#failure !== undefined
  }

  /**
   * A view of the bytes from `from` up to `to`, counted in the file; fewer where the file ends. Good until
   * the event loop goes on: a piece that takes this memory over has to come from the server first.
   */
  async bytes(from: number, to: number): Promise<Uint8Array> {
    this.#readerCount += 1
    while (this.#size < to - this.start && !this.#isDone) await this.#arrived.promise
    this.#readerCount -= 1
    if (this.#failure !== undefined) throw this.#failure
    return this.#bytes.subarray(from - this.start, Math.min(this.#size, to - this.start))
  }

  async #fill(slices: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const slice of slices) {
        const room = slice.subarray(0, this.#bytes.length - this.#size)
        this.#bytes.set(room, this.#size)
        this.#size += room.length
        this.#settle()
      }
    } catch (error) {
      this.#failure = asError(error)
    }
    this.#isDone = true
    this.#settle()
  }

  #settle(): void {
    this.#arrived.resolve()
    this.#arrived = Promise.withResolvers<void>()
  }
}

/** Where the piece that holds `offset` begins, and how long it is: short ones at the start of a file. */
export function segmentAt(offset: number): { readonly start: number; readonly size: number } {
  if (offset < segmentBytesMin) return { start: 0, size: segmentBytesMin }
  if (offset >= segmentBytesMax) {
    return { start: offset - (offset % segmentBytesMax), size: segmentBytesMax }
  }
  const start = 2 ** Math.floor(Math.log2(offset))
  return { start, size: start }
}

/** Which pieces are kept, of all files that are read: those that were used last. */
export class SegmentBudget {
  readonly #drops = new Map<Segment, () => void>()
  readonly #spares: Uint8Array[] = []

  /** Memory for a piece. */
  memory(size: number): Uint8Array {
    const spare = size === segmentBytesMax ? this.#spares.pop() : undefined
    return spare ?? Buffer.allocUnsafeSlow(size)
  }

  /** Keeps a piece a while longer; `drop` is called when there is no more room for it. */
  use(segment: Segment, drop: () => void): void {
    this.#drops.delete(segment)
    this.#drops.set(segment, drop)
    const [oldest] = this.#drops
    if (this.#drops.size <= segmentsMax || oldest === undefined) return
    oldest[1]()
    this.remove(oldest[0])
  }

  /** The piece will not be read again. */
  remove(segment: Segment): void {
    if (!this.#drops.delete(segment)) return
    const { spare } = segment
    if (spare?.length === segmentBytesMax && this.#spares.length < sparesMax) {
      this.#spares.push(spare)
    }
  }
}
