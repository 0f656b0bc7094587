import { copyBytes } from '../../base/bytes.ts'
import { assert, CancelledError } from '../../base/errors.ts'
import type { ChunkStore } from '../chunks.ts'
import { type Content, type Contents, type ContentSeries, inlineBytesMax } from '../contents.ts'
import { compressBytesMin } from '../packs/compression.ts'
import { splitBytesMin } from '../splitter/gear.ts'
import type { ChunkRange } from '../splitter/split-protocol.ts'
import type { RangeStore } from '../splitter/stored-ranges.ts'
import { LongContent } from './long-content.ts'

/** Contents are gathered in so much memory before they are stored. */
const segmentBytes = 2 * 1024 * 1024
/** What a series begins with, since many have little to store, or get it slowly. */
const firstSegmentBytes = 16 * 1024
/** Contents in a segment at most, so that others are not kept waiting while they are hashed. */
const segmentContentsMax = 512
/** Segments and long contents that may be on their way while more is pushed. */
const inFlightMax = 2
/** Segments that are kept for the next series. */
const idleMax = inFlightMax + 1

/** Below this, hashing costs less than asking a thread for it; nor is anything so small compressed. */
const threadBytesMin = compressBytesMin

export interface SeriesPorts {
  readonly chunks: ChunkStore
  readonly contents: Pick<Contents, 'write'>
  /** Absent: everything is hashed on the calling thread. */
  readonly putRanges: RangeStore | undefined
  /** Whole segments that no series uses, shared by all. */
  readonly idle: SharedArrayBuffer[]
}

/** Contents up to the least split lie in segments, one behind the other; each is one chunk. */
export class SegmentedSeries implements ContentSeries {
  readonly #ports: SeriesPorts
  readonly #results: Promise<readonly Content[]>[] = []
  #memory: SharedArrayBuffer | undefined
  #view: Uint8Array = new Uint8Array(0)
  #ranges: ChunkRange[] = []
  /** Where the current content begins in the segment, and where it ends until now. */
  #start = 0
  #end = 0
  /** The current content, when it is too large for one chunk for certain. */
  #long: LongContent | undefined

  constructor(ports: SeriesPorts) {
    this.#ports = ports
  }

  get isFull(): boolean {
    return this.#results.length > inFlightMax
  }

  push(bytes: Uint8Array): void {
    if (this.#long !== undefined) this.#long.push(bytes)
    else if (this.#end - this.#start + bytes.length > splitBytesMin) this.#beginLong(bytes)
    else {
      this.#makeRoom(bytes.length)
      this.#view.set(bytes, this.#end)
      this.#end += bytes.length
    }
  }

  end(): void {
    const long = this.#long
    if (long !== undefined) {
      this.#long = undefined
      long.end()
      this.#results.push(keptQuiet(long.content.then((content) => [content])))
      return
    }
    this.#ranges.push({ start: this.#start, end: this.#end })
    this.#start = this.#end
    if (this.#ranges.length >= segmentContentsMax) this.#storeSegment()
  }

  rest(): void {
    if (this.#ranges.length === 0) return
    const begun = copyBytes(this.#view.subarray(this.#start, this.#end))
    this.#storeSegment()
    if (begun.length > 0) this.push(begun)
  }

  async take(): Promise<readonly Content[]> {
    const taken: Content[] = []
    while (this.isFull) taken.push(...((await this.#results.shift()) ?? []))
    await this.#long?.room()
    return taken
  }

  async finish(): Promise<readonly Content[]> {
    assert(this.#long === undefined && this.#start === this.#end, 'every content has ended')
    this.#storeSegment()
    const taken: Content[] = []
    while (this.#results.length > 0) taken.push(...((await this.#results.shift()) ?? []))
    return taken
  }

  /** Waits for what is on its way, since it uses the segments. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#long?.fail(new CancelledError('the series was given up'))
    await Promise.allSettled([...this.#results, this.#long?.content])
    if (this.#memory !== undefined) this.#release(this.#memory)
    this.#memory = undefined
  }

  #beginLong(bytes: Uint8Array): void {
    const long = new LongContent((stream) => this.#ports.contents.write(stream))
    if (this.#end > this.#start) long.push(this.#view.subarray(this.#start, this.#end))
    long.push(bytes)
    this.#end = this.#start
    // What came before it is told before it.
    this.#storeSegment()
    this.#long = long
  }

  /** In the segment, which grows until it is whole, or else in another. */
  #makeRoom(count: number): void {
    if (this.#end + count <= this.#view.length) return
    const isWhole = this.#view.length === segmentBytes
    const kept = this.#view.subarray(isWhole ? this.#start : 0, this.#end)
    const grown = Math.max(firstSegmentBytes, 2 * this.#view.length, kept.length + count)
    const memory =
      isWhole || grown >= segmentBytes
        ? (this.#ports.idle.pop() ?? new SharedArrayBuffer(segmentBytes))
        : new SharedArrayBuffer(grown)
    const view = new Uint8Array(memory)
    view.set(kept)
    if (isWhole) {
      this.#end = this.#start
      this.#storeSegment()
    }
    this.#memory = memory
    this.#view = view
    this.#end = isWhole ? kept.length : this.#end
  }

  /** Stores the contents of the segment, which nobody fills any more. */
  #storeSegment(): void {
    const [memory, ranges] = [this.#memory, this.#ranges]
    this.#memory = undefined
    this.#view = new Uint8Array(0)
    this.#ranges = []
    this.#start = 0
    this.#end = 0
    if (ranges.length > 0) this.#results.push(keptQuiet(this.#store(memory, ranges)))
    else if (memory !== undefined) this.#release(memory)
  }

  async #store(
    memory: SharedArrayBuffer | undefined,
    ranges: readonly ChunkRange[],
  ): Promise<readonly Content[]> {
    const view = memory === undefined ? new Uint8Array(0) : new Uint8Array(memory)
    const { putRanges } = this.#ports
    const isForThread = ({ start, end }: ChunkRange): boolean =>
      putRanges !== undefined && end - start >= threadBytesMin
    const forThread = ranges.filter(isForThread)
    const fromThread =
      memory === undefined || putRanges === undefined || forThread.length === 0
        ? []
        : putRanges(memory, forThread)
    const others = ranges.map((range) => (isForThread(range) ? undefined : this.#put(view, range)))
    const [refs, ...contents] = await Promise.all([fromThread, ...others])
    if (memory !== undefined) this.#release(memory)
    const next = refs[Symbol.iterator]()
    return contents.map((content) => {
      if (content !== undefined) return content
      const { value } = next.next()
      assert(value !== undefined, 'a thread answers for each chunk')
      return { kind: 'chunk', chunk: value.id, sizeBytes: value.sizeBytes }
    })
  }

  async #put(view: Uint8Array, { start, end }: ChunkRange): Promise<Content> {
    const bytes = view.subarray(start, end)
    if (bytes.length <= inlineBytesMax) return { kind: 'inline', bytes: copyBytes(bytes) }
    return { kind: 'chunk', chunk: await this.#ports.chunks.put(bytes), sizeBytes: bytes.length }
  }

  #release(memory: SharedArrayBuffer): void {
    const isWhole = memory.byteLength === segmentBytes
    if (isWhole && this.#ports.idle.length < idleMax) this.#ports.idle.push(memory)
  }
}

/** Whoever takes the results sees a failure; until then it must not count as unhandled. */
function keptQuiet<Result>(result: Promise<Result>): Promise<Result> {
  result.catch(() => undefined)
  return result
}
