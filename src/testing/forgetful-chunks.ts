import { chunkIdOf } from '../storage/chunk-id.ts'
import type { ChunkId, ChunkStore } from '../storage/chunks.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'

/** Chunks that a power cut takes away unless a flush has covered them. */
export class ForgetfulChunkStore implements ChunkStore {
  readonly #durable = new MemoryChunkStore()
  readonly #volatile = new Map<ChunkId, Uint8Array>()

  get(id: ChunkId): Promise<Uint8Array> {
    const bytes = this.#volatile.get(id)
    return bytes === undefined ? this.#durable.get(id) : Promise.resolve(bytes)
  }

  put(bytes: Uint8Array): Promise<ChunkId> {
    const id = chunkIdOf(bytes)
    this.#volatile.set(id, bytes.slice())
    return Promise.resolve(id)
  }

  async flush(): Promise<void> {
    const covered = [...this.#volatile.values()]
    this.#volatile.clear()
    for (const bytes of covered) await this.#durable.put(bytes)
  }

  cutPower(): void {
    this.#volatile.clear()
  }
}
