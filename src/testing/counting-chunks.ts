import type { ChunkId, ChunkStore } from '../storage/chunks.ts'

/** Passes everything on, and counts it: for tests that say what a call may cost. */
export class CountingChunks implements ChunkStore {
  readonly #chunks: ChunkStore
  readCount = 0
  writtenCount = 0
  writtenBytes = 0
  /** The largest. */
  writtenBytesMax = 0

  constructor(chunks: ChunkStore) {
    this.#chunks = chunks
  }

  reset(): void {
    this.readCount = 0
    this.writtenCount = 0
    this.writtenBytes = 0
    this.writtenBytesMax = 0
  }

  get(id: ChunkId): Promise<Uint8Array> {
    this.readCount += 1
    return this.#chunks.get(id)
  }

  put(bytes: Uint8Array): ChunkId | Promise<ChunkId> {
    this.writtenCount += 1
    this.writtenBytes += bytes.length
    this.writtenBytesMax = Math.max(this.writtenBytesMax, bytes.length)
    return this.#chunks.put(bytes)
  }

  flush(): Promise<void> {
    return this.#chunks.flush()
  }
}
