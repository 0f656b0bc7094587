import { expect } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import type { ChunkId } from '../storage/chunks.ts'
import type { CollectionRoot } from '../storage/collection-roots.ts'
import { type CollectionReport, type CollectOptions, Collector } from '../storage/collector.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { openPackedStore, type OpenedPackedStore } from './packed-store.ts'
import { seededBytes } from './seeded-random.ts'

const { signal } = new AbortController()

/** Roots that a test says; while they are asked for, `onAsked` may do something else. */
class TestRoots {
  readonly roots: CollectionRoot[] = []
  onAsked: () => Promise<void> = async () => undefined

  async *collectionRoots(): AsyncGenerator<CollectionRoot> {
    yield* this.roots.slice()
    await this.onAsked()
  }

  addChunk(chunk: ChunkId): void {
    this.roots.push({ kind: 'chunk', chunk })
  }
}

export interface World extends AsyncDisposable {
  readonly parts: OpenedPackedStore
  readonly roots: TestRoots
  readonly collector: Collector
  collect(options?: Partial<CollectOptions>): Promise<CollectionReport>
  /** Puts bytes under a lease that ends at once, in a pack of their own. */
  put(seed: number, size: number): Promise<ChunkId>
}

export async function openWorld(
  options: { readonly graceMs?: number; readonly objects?: ObjectStore } = {},
): Promise<World> {
  // Nothing is read from memory.
  const parts = await openPackedStore({
    cacheBytes: 0,
    ...(options.objects === undefined ? {} : { objects: options.objects }),
  })
  const roots = new TestRoots()
  const { store } = parts
  const { graceMs = 0 } = options
  const clock = new SystemClock()
  const collector = new Collector({ store, sources: [roots], clock, graceMs })
  return {
    parts,
    roots,
    collector,
    collect: (more = {}) => collector.collect({ signal, ...more }),
    async put(seed, size) {
      const id = await store.put(seededBytes(seed, size))
      await store.flush()
      return id
    },
    [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose](),
  }
}

export async function expectBytes(world: World, id: ChunkId, bytes: Uint8Array): Promise<void> {
  expect(Buffer.compare(await world.parts.store.get(id), bytes)).toBe(0)
}
