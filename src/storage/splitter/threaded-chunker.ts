import type { ByteStream } from '../../base/bytes.ts'
import { assert } from '../../base/errors.ts'
import type { ChunkRef } from '../chunk-lists/node.ts'
import { chunkBytesMax } from '../chunks.ts'
import type { Chunker } from './inline-chunker.ts'
import { type ChunkRange, segmentBytes } from './split-protocol.ts'
import type { SplitThread, SplitThreads } from './split-threads.ts'
import { type EncodedChunkSink, storeRanges } from './stored-ranges.ts'

/** One is filled, one is split, one is stored. */
const segmentsPerStream = 3
/** Streams beyond are split on the main thread, in less memory. */
const streamsMax = 4
const idleSegmentsMax = 2 * segmentsPerStream

interface Filled {
  readonly memory: SharedArrayBuffer
  readonly end: number
  readonly isLast: boolean
}

interface Split {
  readonly memory: SharedArrayBuffer
  readonly start: number
  readonly end: number
  readonly chunks: Promise<readonly ChunkRange[]>
}

/** Splits, hashes and compresses in threads; `overflow` takes the streams that are too many. */
export function threadedChunker(
  threads: SplitThreads,
  sink: EncodedChunkSink,
  overflow: Chunker,
): Chunker {
  let streamCount = 0
  const idle: SharedArrayBuffer[] = []
  return async function* splitThreaded(bytes) {
    if (streamCount >= streamsMax) {
      yield* overflow(bytes)
      return
    }
    const stream = new ThreadedStream(bytes, { ...threads.next(), sink, idle })
    streamCount += 1
    try {
      yield* stream.run()
    } finally {
      await stream.settle()
      streamCount -= 1
      idle.splice(idleSegmentsMax)
    }
  }
}

/**
 * One stream on its way: while a thread splits a segment, the next one is filled and the chunks of
 * the one before are stored.
 */
class ThreadedStream {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #splitter: SplitThread
  readonly #hasher: SplitThread
  readonly #sink: EncodedChunkSink
  readonly #idle: SharedArrayBuffer[]
  /** What the source gave and no segment has taken. */
  #piece: Uint8Array = new Uint8Array(0)
  #splitting: Split | undefined
  #storing: Promise<readonly ChunkRef[]> | undefined

  constructor(
    bytes: ByteStream,
    parts: {
      readonly splitter: SplitThread
      readonly hasher: SplitThread
      readonly sink: EncodedChunkSink
      readonly idle: SharedArrayBuffer[]
    },
  ) {
    this.#source = bytes[Symbol.asyncIterator]()
    this.#splitter = parts.splitter
    this.#hasher = parts.hasher
    this.#sink = parts.sink
    this.#idle = parts.idle
  }

  async *run(): AsyncGenerator<ChunkRef> {
    for (let isLast = false; !isLast;) {
      const filled = await this.#fill()
      ;({ isLast } = filled)
      yield* await this.#advance(filled)
    }
    yield* await this.#advance(undefined)
    yield* (await this.#storing) ?? []
  }

  /** Ends the source, and waits until nobody uses the segments any more. */
  async settle(): Promise<void> {
    await Promise.allSettled([this.#source.return?.(), this.#splitting?.chunks, this.#storing])
  }

  /** Fills the body of a segment. */
  async #fill(): Promise<Filled> {
    const memory = this.#idle.pop() ?? new SharedArrayBuffer(segmentBytes)
    const view = new Uint8Array(memory)
    let end = chunkBytesMax
    for (;;) {
      const taken = Math.min(this.#piece.length, segmentBytes - end)
      view.set(this.#piece.subarray(0, taken), end)
      this.#piece = this.#piece.subarray(taken)
      end += taken
      if (end === segmentBytes) return { memory, end, isLast: false }
      const next = await this.#source.next()
      if (next.done === true) return { memory, end, isLast: true }
      this.#piece = next.value
    }
  }

  /**
   * Takes the cuts of the segment that is being split, starts splitting `filled`, which begins with
   * what was left over, and starts storing; returns the chunks that were stored before.
   */
  async #advance(filled: Filled | undefined): Promise<readonly ChunkRef[]> {
    const split = this.#splitting
    const chunks = (await split?.chunks) ?? []
    this.#splitting = undefined
    if (filled !== undefined) {
      const { memory, end, isLast } = filled
      const restStart = chunks.at(-1)?.end ?? split?.start ?? 0
      const rest =
        split === undefined ? none : new Uint8Array(split.memory).subarray(restStart, split.end)
      const start = chunkBytesMax - rest.length
      assert(start >= 0, 'what is left over is less than a chunk')
      new Uint8Array(memory).set(rest, start)
      const range = { start, end, isLast }
      this.#splitting = { memory, start, end, chunks: this.#splitter.split(memory, range) }
      this.#splitting.chunks.catch(() => undefined) // seen when it is awaited, if it is
    }
    const stored = (await this.#storing) ?? []
    this.#storing = undefined
    if (split !== undefined) {
      this.#storing = this.#store(split.memory, chunks)
      this.#storing.catch(() => undefined) // as above
    }
    return stored
  }

  async #store(
    memory: SharedArrayBuffer,
    ranges: readonly ChunkRange[],
  ): Promise<readonly ChunkRef[]> {
    const stored = await storeRanges(this.#hasher, this.#sink, memory, ranges)
    this.#idle.push(memory)
    return stored
  }
}

const none: Uint8Array = new Uint8Array(0)
