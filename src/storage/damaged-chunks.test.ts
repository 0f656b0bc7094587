import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { DataLossError } from '../base/errors.ts'
import { type OpenedPackedStore, openPackedStore } from '../testing/packed-store.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { Collector, type CollectionReport } from './collector.ts'
import { chunkIdOf } from './chunk-id.ts'
import { type ChunkId, chunkBytesMax } from './chunks.ts'
import { packBytesTarget } from './packs/format.ts'

const { signal } = new AbortController()

/** Nothing is read from memory. */
async function open(directory: string): Promise<OpenedPackedStore> {
  return await openPackedStore({ directory, cacheBytes: 0 })
}

async function putAll(
  { store }: OpenedPackedStore,
  seeds: readonly number[],
): Promise<readonly ChunkId[]> {
  const ids: ChunkId[] = []
  for (const seed of seeds) ids.push(await store.put(seededBytes(seed, 5000)))
  await store.flush()
  return ids
}

async function packKeys({ objects }: OpenedPackedStore): Promise<readonly string[]> {
  return (await Array.fromAsync(objects.list('packs/'))).map(({ key }) => key)
}

/** Turns a bit over of the first chunk of the only pack; returns what puts it back. */
async function flip(parts: OpenedPackedStore): Promise<() => Promise<void>> {
  const [key = '', another] = await packKeys(parts)
  expect(another).toBeUndefined()
  const path = join(parts.directory, 'objects', key)
  const good = await readFile(path)
  const bad = Buffer.from(good)
  bad[20] = (bad[20] ?? 0) ^ 1
  await writeFile(path, bad)
  return () => writeFile(path, good)
}

async function collect(
  { store }: OpenedPackedStore,
  chunks: readonly ChunkId[],
  { isRehearsal = false }: { readonly isRehearsal?: boolean } = {},
): Promise<CollectionReport> {
  const roots = chunks.map((chunk) => ({ kind: 'chunk', chunk }) as const)
  const source = {
    async *collectionRoots() {
      yield* roots
    },
  }
  const clock = new SystemClock()
  const collector = new Collector({ store, sources: [source], clock, graceMs: 0 })
  return await collector.collect({ signal, isRehearsal })
}

async function expectWhole(
  { store }: OpenedPackedStore,
  ids: readonly ChunkId[],
  seeds: readonly number[],
): Promise<void> {
  for (const [index, id] of ids.entries()) {
    expect(Buffer.compare(await store.get(id), seededBytes(seeds[index] ?? 0, 5000))).toBe(0)
  }
}

/** The first one is known to be damaged; it is stored afresh, beside the pack with the damaged copy. */
async function putAgain(
  parts: OpenedPackedStore,
  ids: readonly ChunkId[],
  seeds: readonly number[],
): Promise<void> {
  expect(await parts.store.holds(ids[1] as ChunkId)).toBe(true)
  expect(await parts.store.holds(ids[0] as ChunkId)).toBe(false)
  expect(await putAll(parts, seeds)).toEqual(ids)
  expect(await parts.store.holds(ids[0] as ChunkId)).toBe(true)
  await expectWhole(parts, ids, seeds)
  expect(await packKeys(parts)).toHaveLength(2)
}

test('what turned out to be damaged is stored afresh when it is put', async () => {
  await using directory = await TemporaryDirectory.create()
  const seeds = [1, 2, 3]
  let ids: readonly ChunkId[]
  {
    await using parts = await open(directory.path)
    ids = await putAll(parts, seeds)
    await flip(parts)
    await expect(parts.store.get(ids[0] as ChunkId)).rejects.toThrow(DataLossError)
    await putAgain(parts, ids, seeds)
  }
  await using parts = await open(directory.path)
  await expectWhole(parts, ids, seeds)
})

test('what turned out to be damaged before a restart is stored afresh when it is put after it', async () => {
  await using directory = await TemporaryDirectory.create()
  const seeds = [1, 2, 3]
  let ids: readonly ChunkId[]
  {
    await using parts = await open(directory.path)
    ids = await putAll(parts, seeds)
    await flip(parts)
    await expect(parts.store.get(ids[0] as ChunkId)).rejects.toThrow(DataLossError)
  }
  {
    await using parts = await open(directory.path)
    await putAgain(parts, ids, seeds)
  }
  await using parts = await open(directory.path)
  await expectWhole(parts, ids, seeds)
})

test('a collection keeps the whole copy, and the pack with the damaged one goes', async () => {
  await using directory = await TemporaryDirectory.create()
  const seeds = [1, 2, 3, 4, 5]
  let ids: readonly ChunkId[]
  {
    await using parts = await open(directory.path)
    ids = await putAll(parts, seeds)
    await flip(parts)
    const [damagedKey = ''] = await packKeys(parts)
    await expect(parts.store.get(ids[0] as ChunkId)).rejects.toThrow(DataLossError)
    await putAll(parts, seeds)
    const report = await collect(parts, ids)
    expect(report).toMatchObject({ chunksMarked: 5, chunksMissing: 0, packsRepacked: 1 })
    expect(await packKeys(parts)).not.toContain(damagedKey)
    await expectWhole(parts, ids, seeds)
  }
  await using parts = await open(directory.path)
  await expectWhole(parts, ids, seeds)
  const rows = await parts.database.read((tx) => tx.all('SELECT pack FROM damaged_chunks'))
  expect(rows).toEqual([])
})

test('the pack with the damaged copy goes also when the rest of it is more than a pack should be', async () => {
  await using directory = await TemporaryDirectory.create()
  await using parts = await open(directory.path)
  const large = Array.from({ length: packBytesTarget / chunkBytesMax }, (_, seed) => seed + 10)
  const ids = [await parts.store.put(seededBytes(1, 5000))]
  for (const seed of large) ids.push(await parts.store.put(seededBytes(seed, chunkBytesMax)))
  await parts.store.flush()
  const [damagedKey = ''] = await packKeys(parts)
  await flip(parts)
  const [id] = ids as [ChunkId]
  await expect(parts.store.get(id)).rejects.toThrow(DataLossError)
  expect(await putAll(parts, [1])).toEqual([id])
  const gone = { packsRepacked: 1, packsLeft: 0 }
  expect(await collect(parts, ids, { isRehearsal: true })).toMatchObject(gone)
  expect(await collect(parts, ids)).toMatchObject(gone)
  expect(await packKeys(parts)).not.toContain(damagedKey)
  for (const each of ids) expect(chunkIdOf(await parts.store.get(each))).toBe(each)
})

test('a pack whose damage a collection comes upon is left, and those beside it go', async () => {
  await using directory = await TemporaryDirectory.create()
  await using parts = await open(directory.path)
  const [damaged] = (await putAll(parts, [1])) as [ChunkId]
  const [damagedKey = ''] = await packKeys(parts)
  await flip(parts)
  const others: ChunkId[] = []
  for (let seed = 10; seed < 20; seed += 1) others.push(...(await putAll(parts, [seed])))
  const all = [damaged, ...others]
  expect(await collect(parts, all)).toMatchObject({
    packsRepacked: 10,
    packsLeft: 1,
    packsAfter: 2,
  })
  expect(await packKeys(parts)).toContain(damagedKey)
  await expectWhole(
    parts,
    others,
    others.map((_, index) => 10 + index),
  )
})

test('a damaged chunk that has no other copy is neither lost from its pack nor in the way of others', async () => {
  await using directory = await TemporaryDirectory.create()
  await using parts = await open(directory.path)
  const [damaged, kept, lost] = (await putAll(parts, [1, 2, 3])) as [ChunkId, ChunkId, ChunkId]
  const putBack = await flip(parts)
  await expect(parts.store.get(damaged)).rejects.toThrow(DataLossError)
  // Small packs that are worth joining.
  const others: ChunkId[] = []
  for (let seed = 10; seed < 20; seed += 1) others.push(...(await putAll(parts, [seed])))
  expect(await collect(parts, [damaged, kept, ...others])).toMatchObject({ packsRepacked: 10 })
  await putBack()
  await expectWhole(parts, [damaged, kept, lost], [1, 2, 3])
  // It is known to be whole from then on.
  expect(await parts.store.holds(damaged)).toBe(true)
})

test('a pack with just the chunks of a damaged one, in the same places, is stored all the same', async () => {
  await using directory = await TemporaryDirectory.create()
  let id: ChunkId | undefined
  {
    await using parts = await open(directory.path)
    ;[id] = await putAll(parts, [1])
    await flip(parts)
    await expect(parts.store.get(id as ChunkId)).rejects.toThrow(DataLossError)
    expect(await putAll(parts, [1])).toEqual([id])
    expect(await packKeys(parts)).toHaveLength(2)
  }
  await using parts = await open(directory.path)
  await expectWhole(parts, [id as ChunkId], [1])
  // And again, when the fresh copy is the whole that is left of its pack.
  expect(await collect(parts, [id as ChunkId])).toMatchObject({ packsDeleted: 1 })
  expect(await packKeys(parts)).toHaveLength(1)
  await expectWhole(parts, [id as ChunkId], [1])
})

test('a put that found the chunk before it was damaged keeps what it found', async () => {
  await using directory = await TemporaryDirectory.create()
  await using parts = await open(directory.path)
  const [id] = (await putAll(parts, [1, 2])) as [ChunkId]
  using _ = parts.store.leases.begin()
  await putAll(parts, [1])
  const putBack = await flip(parts)
  await expect(parts.store.get(id)).rejects.toThrow(DataLossError)
  await collect(parts, [])
  await putBack()
  await expectWhole(parts, [id], [1])
})
