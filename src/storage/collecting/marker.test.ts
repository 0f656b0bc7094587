import { expect, test } from 'vitest'
import { SystemClock } from '../../base/clock.ts'
import { openPackedStore, type OpenedPackedStore } from '../../testing/packed-store.ts'
import { seededBytes } from '../../testing/seeded-random.ts'
import { encodeNode } from '../chunk-lists/node.ts'
import type { ChunkId } from '../chunks.ts'
import type { CollectionRoot } from '../collection-roots.ts'
import { type CollectionReport, Collector } from '../collector.ts'
import { FileTrees, type NamedFile } from '../file-trees.ts'
import { MemoryObjectStore } from '../memory-objects.ts'
import type { ObjectKey, ObjectStore } from '../object-store.ts'

interface World extends AsyncDisposable {
  readonly parts: OpenedPackedStore
  readonly roots: CollectionRoot[]
  collect(): Promise<CollectionReport>
}

/** Nothing is read from memory. */
async function openWorld(objects: ObjectStore): Promise<World> {
  const parts = await openPackedStore({ cacheBytes: 0, objects })
  const roots: CollectionRoot[] = []
  const source = {
    async *collectionRoots(): AsyncGenerator<CollectionRoot> {
      yield* roots
    },
  }
  const { store } = parts
  const collector = new Collector({
    store,
    sources: [source],
    clock: new SystemClock(),
    graceMs: 0,
  })
  const { signal } = new AbortController()
  return {
    parts,
    roots,
    collect: () => collector.collect({ signal }),
    [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose](),
  }
}

/** Chunks of 1,000 bytes, in a pack of their own. */
async function putChunks(
  { parts: { store } }: World,
  seeds: readonly number[],
): Promise<readonly ChunkId[]> {
  const chunks: ChunkId[] = []
  for (const seed of seeds) chunks.push(await store.put(seededBytes(seed, 1000)))
  await store.flush()
  return chunks
}

/** A directory of its own. */
async function putTree(
  { parts: { store } }: World,
  files: readonly NamedFile[],
): Promise<CollectionRoot> {
  const batches = (async function* once() {
    yield files
  })()
  const { root } = await new FileTrees(store).directoryOf(batches)
  await store.flush()
  return { kind: 'tree', root }
}

function fileOf(chunk: ChunkId, index: number): NamedFile {
  return {
    name: `f${String(index).padStart(5, '0')}`,
    content: { kind: 'chunk', chunk, sizeBytes: 1000 },
  }
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from }, (_, index) => from + index)
}

/** Objects of which one byte is another, as long as a test says. */
class DamagedObjects extends MemoryObjectStore {
  damaged: { readonly key: ObjectKey; readonly at: number } | undefined

  override async get(key: ObjectKey, offset: number, length: number): Promise<Uint8Array> {
    const bytes = await super.get(key, offset, length)
    const { damaged } = this
    if (damaged?.key !== key) return bytes
    const at = damaged.at - offset
    return bytes.map((byte, index) => (index === at ? byte ^ 1 : byte))
  }
}

test('a list that a reader holds and that cannot be read to its end has not been walked', async () => {
  const objects = new DamagedObjects()
  await using world = await openWorld(objects)
  const { store } = world.parts
  const parts = await putChunks(world, range(0, 4))
  const entries = parts.map((id) => ({ id, sizeBytes: 1000 }))
  const node = await store.put(encodeNode({ level: 0, entries }))
  const top = { level: 1, entries: [{ id: node, sizeBytes: 4000 }] }
  const long = { kind: 'list', root: await store.put(encodeNode(top)), sizeBytes: 4000 } as const
  const tree = await putTree(world, [{ name: 'long', content: long }])
  const place = await store.locate(node)
  if (place.kind !== 'found') throw new Error('the node of the list has been stored')
  objects.damaged = { key: place.key, at: place.entry.offset }
  using lease = store.leases.beginReading()
  lease.hold({ kind: 'content', content: long })
  // What the lease holds is looked at after the first root, and the tree after it.
  for (const chunk of await putChunks(world, [9])) world.roots.push({ kind: 'chunk', chunk })
  world.roots.push(tree)
  await expect(world.collect()).rejects.toThrow('something that is needed cannot be read')
  objects.damaged = undefined
  expect(await world.collect()).toMatchObject({ chunksMissing: 0 })
  for (const [seed, id] of parts.entries()) {
    expect(Buffer.compare(await store.get(id), seededBytes(seed, 1000))).toBe(0)
  }
})

/** How many reads there were at most at one time; each takes a turn of the event loop. */
class CountingObjects extends MemoryObjectStore {
  #count = 0
  countMax = 0

  override async get(key: ObjectKey, offset: number, length: number): Promise<Uint8Array> {
    this.#count += 1
    this.countMax = Math.max(this.countMax, this.#count)
    await new Promise(setImmediate)
    this.#count -= 1
    return await super.get(key, offset, length)
  }
}

test('what lies in many small packs is read and copied many at a time, but not all at once', async () => {
  const objects = new CountingObjects()
  await using world = await openWorld(objects)
  for (let pack = 0; pack < 100; pack += 1) {
    const chunks = await putChunks(world, range(30 * pack, 30 * pack + 30))
    world.roots.push(await putTree(world, chunks.map(fileOf)))
  }
  objects.countMax = 0
  expect(await world.collect()).toMatchObject({ packsRepacked: 200, packsWritten: 1 })
  expect(objects.countMax).toBeGreaterThan(8)
  expect(objects.countMax).toBeLessThan(50)
  expect(await world.collect()).toMatchObject({ packsRepacked: 0, chunksMissing: 0 })
})
