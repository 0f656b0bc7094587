import type { ChunkRef } from '../chunk-lists/node.ts'
import type { ChunkId } from '../chunks.ts'
import type { EncodedChunk } from '../packs/compression.ts'
import type { ChunkRange, HashedChunk } from './split-protocol.ts'
import type { SplitThread, SplitThreads } from './split-threads.ts'

/** Where chunks go whose ids are known. */
export interface EncodedChunkSink {
  holds(id: ChunkId): Promise<boolean>
  /** The bytes must not change until the promise settles. */
  putEncoded(id: ChunkId, rawBytes: number, encode: () => EncodedChunk): Promise<void> | undefined
}

/** Stores ranges of shared memory, each as a chunk. They must not change until it resolves. */
export type RangeStore = (
  memory: SharedArrayBuffer,
  ranges: readonly ChunkRange[],
) => Promise<readonly ChunkRef[]>

/** Threads take turns in hashing and compressing the ranges of one call. */
export function threadedRanges(threads: SplitThreads, sink: EncodedChunkSink): RangeStore {
  return (memory, ranges) => storeRanges(threads.next().hasher, sink, memory, ranges)
}

/** Hashes ranges in a thread, and compresses there those that the store does not hold. */
export async function storeRanges(
  hasher: SplitThread,
  sink: EncodedChunkSink,
  memory: SharedArrayBuffer,
  ranges: readonly ChunkRange[],
): Promise<readonly ChunkRef[]> {
  const chunks = await hasher.hash(memory, ranges)
  const fresh = await freshChunks(sink, chunks)
  const encoded = fresh.length === 0 ? [] : await hasher.encode(memory, fresh)
  await Promise.all(
    fresh.map(async ({ id, start, end }, at) => {
      await sink.putEncoded(id, end - start, () => {
        const stored = encoded[at]
        return stored === undefined
          ? { stored: Buffer.from(memory, start, end - start), encoding: 'raw' }
          : { stored, encoding: 'zstd' }
      })
    }),
  )
  // Frees it now: V8 looks for garbage when there are 64 MiB of it.
  for (const stored of encoded) stored?.buffer.transfer(0)
  return chunks.map(({ id, start, end }) => ({ id, sizeBytes: end - start }))
}

/** Those that the store does not hold, each once. */
async function freshChunks(
  sink: EncodedChunkSink,
  chunks: readonly HashedChunk[],
): Promise<readonly HashedChunk[]> {
  const byId = new Map(chunks.map((chunk) => [chunk.id, chunk]))
  const unique = [...byId.values()]
  const held = await Promise.all(unique.map(({ id }) => sink.holds(id)))
  return unique.filter((_, at) => held[at] !== true)
}
