import { describeChunkStore } from '../testing/chunk-store-conformance.ts'
import {
  openPackedStore,
  openPackedStoreInMemory,
  type OpenedPackedStore,
} from '../testing/packed-store.ts'
import type { ChunkStore } from './chunks.ts'
import { MemoryChunkStore } from './memory-chunks.ts'

function disposable(store: ChunkStore, parts?: OpenedPackedStore): ChunkStore & AsyncDisposable {
  return {
    get: (id) => store.get(id),
    put: (bytes) => store.put(bytes),
    flush: () => store.flush(),
    [Symbol.asyncDispose]: async () => parts?.[Symbol.asyncDispose](),
  }
}

async function ofParts(opening: Promise<OpenedPackedStore>): Promise<ChunkStore & AsyncDisposable> {
  const parts = await opening
  return disposable(parts.store, parts)
}

describeChunkStore('memory', () => Promise.resolve(disposable(new MemoryChunkStore())))
describeChunkStore('packs in memory', () => ofParts(openPackedStoreInMemory()))
describeChunkStore('packs in a directory', () => ofParts(openPackedStore({ cacheBytes: 0 })))
