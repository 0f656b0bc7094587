import * as fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { assert, DataLossError } from '../base/errors.ts'
import { expectBytes, openWorld, type World } from '../testing/collected-world.ts'
import { walkRoots } from '../testing/reachable-chunks.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import type { ChunkId } from './chunks.ts'
import type { CollectionRoot } from './collection-roots.ts'
import { FileTrees } from './file-trees.ts'
import { MemoryObjectStore } from './memory-objects.ts'
import type { ObjectStore } from './object-store.ts'
import type { SealedPack } from './packs/pack-collection.ts'
import { type ChunkBits, newChunkBits, setBit } from './packs/recent-puts.ts'

const { signal } = new AbortController()

/** A directory of its own, whose files are chunks of 1,000 bytes; returns them and its root. */
async function putTree(
  { parts: { store } }: World,
  seeds: readonly number[],
): Promise<{ readonly root: CollectionRoot; readonly chunks: readonly ChunkId[] }> {
  const chunks: ChunkId[] = []
  for (const seed of seeds) chunks.push(await store.put(seededBytes(seed, 1000)))
  const files = chunks.map((chunk, index) => ({
    name: `f${String(index).padStart(5, '0')}`,
    content: { kind: 'chunk', chunk, sizeBytes: 1000 } as const,
  }))
  const { root } = await new FileTrees(store).directoryOf(once(files))
  await store.flush()
  return { root: { kind: 'tree', root }, chunks }
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from }, (_, index) => from + index)
}

test('an incremental collection looks at what is new only, and frees what was put for nothing', async () => {
  await using world = await openWorld()
  const old = await putTree(world, range(0, 3000))
  world.roots.roots.push(old.root)
  const first = await world.collect({ isIncremental: true })
  // There was none before.
  expect(first.chunksRemembered).toBe(0)
  const seeds = [...range(0, 1500), 9999, ...range(1501, 3000)]
  const changed = await putTree(world, seeds)
  world.roots.roots.push(changed.root)
  const lost = await world.put(5555, 5000)
  const reads = countReads(world.parts.objects)
  const report = await world.collect({ isIncremental: true })
  expect(report).toMatchObject({ packsDeleted: 1, chunksRemembered: first.chunksMarked })
  expect(report.chunksMarked - report.chunksRemembered).toBeLessThan(10)
  expect(reads()).toBeLessThan(40)
  await expect(world.parts.store.get(lost)).rejects.toThrow(DataLossError)
  for (const [index, id] of changed.chunks.entries()) {
    await expectBytes(world, id, seededBytes(seeds[index] ?? -1, 1000))
  }
})

function countReads(objects: ObjectStore): () => number {
  const get = vi.spyOn(objects, 'get')
  return () => get.mock.calls.length
}

test('what an incremental collection leaves, one from scratch frees', async () => {
  await using world = await openWorld()
  const kept = await putTree(world, range(0, 100))
  const letGo = await putTree(world, range(1000, 1100))
  world.roots.roots.push(kept.root, letGo.root)
  await world.collect()
  world.roots.roots.pop()
  expect(await world.collect({ isIncremental: true })).toMatchObject({ packsDeleted: 0 })
  expect(await world.collect()).toMatchObject({ packsDeleted: 1, chunksRemembered: 0 })
  for (const [seed, id] of kept.chunks.entries()) {
    await expectBytes(world, id, seededBytes(seed, 1000))
  }
  expect(world.parts.store.packs.all()).toHaveLength(1)
})

test('after so many incremental collections one is from scratch', async () => {
  await using world = await openWorld()
  world.roots.roots.push((await putTree(world, range(0, 100))).root)
  const remembered: boolean[] = []
  for (let count = 0; count < 11; count += 1) {
    remembered.push((await world.collect({ isIncremental: true })).chunksRemembered > 0)
  }
  const eight = Array<boolean>(8).fill(true)
  expect(remembered).toEqual([false, ...eight, false, true])
})

test('with damage that nothing heals, collections go on from the last marks', async () => {
  await using world = await openWorld({ objects: new MemoryObjectStore() })
  const { store } = world.parts
  const tree = await putTree(world, range(0, 100))
  world.roots.roots.push(tree.root)
  const [pack] = store.packs.all()
  const { chunksMarked } = await world.collect()
  await store.setDamaged(pack as SealedPack, await bitsOf(world, tree.chunks.slice(0, 3)))
  for (let round = 0; round < 2; round += 1) {
    await world.put(5000 + round, 5000)
    expect(await world.collect({ isIncremental: true })).toMatchObject({
      chunksRemembered: chunksMarked,
      packsDeleted: 1,
      packsLeft: 0,
    })
  }
  expect(store.packs.all()).toEqual([pack])
})

test('what is marked in a damaged copy is kept where it is whole, and the pack with the copy goes', async () => {
  await using world = await openWorld({ objects: new MemoryObjectStore() })
  const { store } = world.parts
  const tree = await putTree(world, range(0, 100))
  world.roots.roots.push(tree.root)
  const [pack] = store.packs.all() as [SealedPack]
  const { chunksMarked } = await world.collect()
  const root = (tree.root as { readonly root: ChunkId }).root
  const bytes = await store.get(root)
  await store.setDamaged(pack, await bitsOf(world, [root, ...tree.chunks.slice(0, 3)]))
  // By somebody whose lease has ended, so that only the marks keep it.
  expect(await store.put(bytes)).toBe(root)
  for (const seed of range(0, 3)) await store.put(seededBytes(seed, 1000))
  await store.flush()
  const report = await world.collect({ isIncremental: true })
  expect(report).toMatchObject({
    chunksRemembered: chunksMarked,
    packsDeleted: 0,
    packsRepacked: 1,
  })
  expect(store.packs.all().map(({ name }) => name)).not.toContain(pack.name)
  await walkRoots(store, [world.roots])
  for (const [seed, id] of tree.chunks.entries()) {
    await expectBytes(world, id, seededBytes(seed, 1000))
  }
})

/** Of the first pack that holds each. */
async function bitsOf({ parts: { store } }: World, ids: readonly ChunkId[]): Promise<ChunkBits> {
  const [pack] = store.packs.all()
  const bits = newChunkBits(pack?.chunkCount ?? 0)
  for (const id of ids) {
    const place = await store.packs.place(id)
    assert(typeof place === 'object' && place.pack === pack, 'all are in one pack')
    setBit(bits, place.index)
  }
  return bits
}

test('nothing is remembered of a collection that did not come to its end, nor past joined packs', async () => {
  await using world = await openWorld()
  world.roots.roots.push((await putTree(world, range(0, 100))).root)
  await world.collect()
  world.roots.onAsked = async () => {
    throw new Error('stopped')
  }
  await expect(world.collect({ isIncremental: true })).rejects.toThrow('stopped')
  world.roots.onAsked = async () => undefined
  expect(await world.collect({ isIncremental: true })).toMatchObject({ chunksRemembered: 0 })
  await world.collector.compact(signal)
  expect(await world.collect({ isIncremental: true })).toMatchObject({ chunksRemembered: 0 })
})

test('whatever comes and goes, incremental collections keep what roots lead to', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          put: fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 40 }),
          isKept: fc.boolean(),
          letGo: fc.option(fc.nat({ max: 20 })),
          isIncremental: fc.boolean(),
        }),
        { minLength: 3, maxLength: 14 },
      ),
      async (steps) => {
        await using world = await openWorld({ objects: new MemoryObjectStore() })
        const { store } = world.parts
        const { roots } = world.roots
        for (const { put, isKept, letGo, isIncremental } of steps) {
          const tree = await putTree(world, put)
          if (isKept) roots.push(tree.root)
          if (letGo !== null && letGo < roots.length) roots.splice(letGo, 1)
          await world.collect({ isIncremental })
          await walkRoots(store, [world.roots])
        }
        await world.collect()
        const needed = await walkRoots(store, [world.roots])
        expect(needed.size > 0 || store.packs.all().length === 0).toBe(true)
      },
    ),
    { numRuns: 60 },
  )
})

async function* once<Item>(item: Item): AsyncGenerator<Item> {
  await Promise.resolve()
  yield item
}
