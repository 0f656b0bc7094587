import type { ByteStream } from '../../base/bytes.ts'
import type { ChunkRef } from '../chunk-lists/node.ts'
import type { ChunkStore } from '../chunks.ts'
import { CutFinder } from './cut-finder.ts'
import { Splitter } from './splitter.ts'
import type { RangeStore } from './stored-ranges.ts'

/** Splits a stream and stores its chunks; yields them in order. */
export type Chunker = (bytes: ByteStream) => AsyncIterable<ChunkRef>

/** A store that has its own way with streams, and with many chunks at once. */
export interface StreamStore extends ChunkStore {
  readonly putStream: Chunker
  readonly putRanges: RangeStore
}

/** Splits on the calling thread. */
export function inlineChunker(chunks: ChunkStore): Chunker {
  const finder = new CutFinder()
  return async function* splitInline(bytes) {
    const splitter = new Splitter(finder)
    for await (const piece of bytes) yield* cutAll(splitter, chunks, piece)
    if (splitter.pendingBytes > 0) yield await storeTaken(splitter, chunks)
  }
}

/** Pushes `bytes`; stores the chunks that end in them. */
export async function* cutAll(
  splitter: Splitter,
  chunks: ChunkStore,
  bytes: Uint8Array,
): AsyncGenerator<ChunkRef> {
  for (let at = 0; at < bytes.length;) {
    at += splitter.push(bytes.subarray(at))
    if (splitter.isWhole) yield await storeTaken(splitter, chunks)
  }
}

/** Stores the chunk that has begun, as it is. */
export async function storeTaken(splitter: Splitter, chunks: ChunkStore): Promise<ChunkRef> {
  const chunk = splitter.take()
  const sizeBytes = chunk.length
  const id = await chunks.put(chunk)
  // Frees it now: V8 looks for garbage when there are 64 MiB of it.
  chunk.buffer.transfer(0)
  return { id, sizeBytes }
}
