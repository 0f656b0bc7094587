import type { ByteStream } from '../../base/bytes.ts'
import type { ChunkRef } from '../chunk-lists/node.ts'
import { type ChunkStore, chunkBytesMax } from '../chunks.ts'
import { Splitter } from './splitter.ts'
import type { RangeStore } from './stored-ranges.ts'

/** Splits a stream and stores its chunks; yields them in order. */
export type Chunker = (bytes: ByteStream) => AsyncIterable<ChunkRef>

/** A store that has its own way with streams, and with many chunks at once. */
export interface StreamStore extends ChunkStore {
  readonly putStream: Chunker
  readonly putRanges: RangeStore
}

const capacityBytes = chunkBytesMax + 1024 * 1024
/** Splitters that are kept for the next stream. */
const idleMax = 2

/** Splits on the calling thread. */
export function inlineChunker(chunks: ChunkStore): Chunker {
  const idle: Splitter[] = []
  return async function* splitInline(bytes) {
    const splitter = idle.pop() ?? new Splitter(capacityBytes)
    try {
      yield* splitWith(splitter, chunks, bytes)
    } finally {
      splitter.reset()
      if (idle.length < idleMax) idle.push(splitter)
    }
  }
}

async function* splitWith(
  splitter: Splitter,
  chunks: ChunkStore,
  bytes: ByteStream,
): AsyncGenerator<ChunkRef> {
  for await (const piece of bytes) {
    for (let at = 0; at < piece.length;) {
      at += splitter.push(at === 0 ? piece : piece.subarray(at))
      if (splitter.isFull) yield* cutAll(splitter, chunks)
    }
  }
  yield* cutAll(splitter, chunks)
  if (splitter.pendingBytes > 0) {
    const rest = splitter.rest()
    yield { id: await chunks.put(rest), sizeBytes: rest.length }
  }
}

/** Stores every whole chunk that the splitter holds. */
export async function* cutAll(splitter: Splitter, chunks: ChunkStore): AsyncGenerator<ChunkRef> {
  for (let chunk = splitter.next(); chunk !== undefined; chunk = splitter.next()) {
    const sizeBytes = chunk.length
    yield { id: await chunks.put(chunk), sizeBytes }
  }
}
