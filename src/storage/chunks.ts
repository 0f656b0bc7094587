import type { Brand } from '../base/brand.ts'

/** SHA-256 of a chunk's bytes (before compression), as 64 lower-case hex digits. */
export type ChunkId = Brand<string, 'ChunkId'>

/** The most bytes that one chunk may hold. Tree nodes are chunks, too. */
export const chunkBytesMax: number = 4 * 1024 * 1024

/** As what a chunk is referred to: the bytes of a file may be those of a node, too. */
export type ChunkUse = 'list' | 'chunk'

/** Whether a chunk has not been seen before in that use; having been asked, it has. */
export type IsNew = (id: ChunkId, use: ChunkUse) => boolean | Promise<boolean>

export interface ChunkReader {
  /**
   * The chunk's bytes, checked against `id`. The view is shared: callers must not write to it.
   * @throws {DataLossError} when it is missing or damaged.
   */
  get(id: ChunkId): Promise<Uint8Array>

  /**
   * All of these, in their order, as `get` would give them; where it is there, it is faster than one
   * after another. Holds all of them, so the caller bounds their sizes.
   */
  getMany?(ids: readonly ChunkId[]): Promise<readonly Uint8Array[]>

  /**
   * Reads together what `get` will soon be asked for one after another: a few MiB of small chunks, which
   * are kept for it as far as there is room. What cannot be read is left to `get`, which says why.
   */
  readAhead?(ids: readonly ChunkId[]): Promise<void>
}

/** A chunk in memory that serves for another one when it is given back. */
export interface LentChunk {
  readonly bytes: Uint8Array
  /** Nobody looks at `bytes` from then on. */
  giveBack(): void
  /** As `giveBack`, when somebody may still look at them: their memory is not used again. */
  giveUp(): void
}

/** Bytes in memory of their own, as a lent chunk. */
export function unlent(bytes: Uint8Array): LentChunk {
  return { bytes, giveBack: () => {}, giveUp: () => {} }
}

/** Reads large chunks without memory of their own for each. */
export interface ChunkLender extends ChunkReader {
  /** As `get`. A caller that knows the size of the chunk says it. */
  lend(id: ChunkId, sizeBytes?: number): Promise<LentChunk>
}

/** Knows which chunks there are, for whoever could get them elsewhere. */
export interface ChunkHolder extends ChunkReader {
  /**
   * True when the chunk is there for certain; it then is kept like one that was put, for as long as a lease
   * of the caller lives.
   */
  holds(id: ChunkId): Promise<boolean>
}

export interface ChunkStore extends ChunkReader {
  /**
   * Stores a copy of `bytes` unless the store holds them already. Readable at once, durable after
   * the next `flush`. A promise where there is back-pressure, or something else to wait for: await it.
   */
  put(bytes: Uint8Array): ChunkId | Promise<ChunkId>

  /**
   * Resolves when every chunk whose `put` had resolved before the call is durable. Concurrent calls
   * share one fsync. A reference may be committed only after the flush that covers its chunks.
   */
  flush(): Promise<void>
}
