import { copyBytes } from '../base/bytes.ts'
import { DataLossError } from '../base/errors.ts'
import { chunkIdOf } from './chunk-id.ts'
import type { ChunkHolder, ChunkId, ChunkStore } from './chunks.ts'

/** Chunks in a map: for tests, and for trees that are built only to be compared. */
export class MemoryChunkStore implements ChunkStore, ChunkHolder {
  readonly #chunks = new Map<ChunkId, Uint8Array>()

  /** How many different chunks it holds. */
  get count(): number {
    return this.#chunks.size
  }

  get(id: ChunkId): Promise<Uint8Array> {
    const bytes = this.#chunks.get(id)
    if (bytes === undefined) return Promise.reject(new DataLossError(`chunk ${id} is missing`))
    return Promise.resolve(bytes)
  }

  put(bytes: Uint8Array): Promise<ChunkId> {
    const id = chunkIdOf(bytes)
    if (!this.#chunks.has(id)) this.#chunks.set(id, copyBytes(bytes))
    return Promise.resolve(id)
  }

  holds(id: ChunkId): Promise<boolean> {
    return Promise.resolve(this.#chunks.has(id))
  }

  flush(): Promise<void> {
    return Promise.resolve()
  }
}
