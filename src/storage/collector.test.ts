import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { assert, DataLossError } from '../base/errors.ts'
import { expectBytes, openWorld, type World } from '../testing/collected-world.ts'
import { ChunkWalk } from '../testing/reachable-chunks.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { ChunkedContents } from './chunked-contents.ts'
import type { ChunkId } from './chunks.ts'
import { FileTrees } from './file-trees.ts'
import { MemoryObjectStore } from './memory-objects.ts'
import type { ObjectKey } from './object-store.ts'

const { signal } = new AbortController()

/** Objects whose next read waits for as long as a test says. */
class HesitantObjects extends MemoryObjectStore {
  hesitates: PromiseWithResolvers<undefined> | undefined

  override async get(key: ObjectKey, offset: number, length: number): Promise<Uint8Array> {
    const { hesitates } = this
    this.hesitates = undefined
    await hesitates?.promise
    return await super.get(key, offset, length)
  }
}

/** A put that finds what it found before takes a shorter way. */
const putCounts = [1, 3] as const

async function putTimes(world: World, count: number, seed: number): Promise<ChunkId> {
  let id = await world.put(seed, 5000)
  for (let times = 1; times < count; times += 1) id = await world.put(seed, 5000)
  return id
}

async function objectCount({ parts }: World): Promise<number> {
  return (await Array.fromAsync(parts.objects.list('packs/'))).length
}

test.each(putCounts)(
  'what no root keeps is deleted, object and all, and what one keeps is not (put %d times)',
  async (count) => {
    await using world = await openWorld()
    const kept = await putTimes(world, count, 1)
    world.roots.addChunk(kept)
    const lost = await putTimes(world, count, 2)
    const report = await world.collect()
    expect(report).toMatchObject({
      chunksMarked: 1,
      packsBefore: 2,
      packsAfter: 1,
      packsDeleted: 1,
      packsRepacked: 0,
    })
    expect(report.bytesBefore - report.bytesAfter).toBeGreaterThan(5000)
    expect(await objectCount(world)).toBe(1)
    await expectBytes(world, kept, seededBytes(1, 5000))
    await expect(world.parts.store.get(lost)).rejects.toThrow(DataLossError)
    // The same again: it is stored anew.
    expect(await world.put(2, 5000)).toBe(lost)
    await expectBytes(world, lost, seededBytes(2, 5000))
  },
)

test('a rehearsal says what would go, and nothing does', async () => {
  await using world = await openWorld()
  world.roots.addChunk(await world.put(1, 5000))
  const lost = await world.put(2, 5000)
  const rehearsed = await world.collect({ isRehearsal: true })
  expect(rehearsed).toMatchObject({ isRehearsal: true, packsDeleted: 1, packsAfter: 1 })
  expect(await objectCount(world)).toBe(2)
  await expectBytes(world, lost, seededBytes(2, 5000))
  const { bytesAfter } = await world.collect()
  expect(bytesAfter).toBe(rehearsed.bytesAfter)
})

test('packs that somebody holds are left, and told', async () => {
  await using world = await openWorld()
  const kept = await world.parts.store.put(seededBytes(1, 1000))
  for (let seed = 2; seed < 10; seed += 1) await world.parts.store.put(seededBytes(seed, 1000))
  await world.parts.store.flush()
  world.roots.addChunk(kept)
  await world.put(20, 5000)
  {
    using _ = await world.parts.store.packs.hold()
    const left = { packsDeleted: 0, packsRepacked: 0, packsLeft: 2, packsAfter: 2 }
    expect(await world.collect()).toMatchObject(left)
  }
  expect(await world.collect()).toMatchObject({ packsDeleted: 1, packsRepacked: 1, packsLeft: 0 })
})

test('a pack of which little is needed is copied into a smaller one', async () => {
  await using world = await openWorld()
  const { store } = world.parts
  const ids: ChunkId[] = []
  for (let seed = 0; seed < 200; seed += 1) ids.push(await store.put(seededBytes(seed, 3000)))
  await store.flush()
  const needed = ids.filter((_, at) => at % 5 === 0)
  for (const id of needed) world.roots.addChunk(id)
  const report = await world.collect()
  expect(report).toMatchObject({ packsDeleted: 0, packsRepacked: 1, packsWritten: 1 })
  expect(report.bytesAfter).toBeLessThan(report.bytesBefore / 3)
  expect(await objectCount(world)).toBe(1)
  for (const id of ids) {
    const read = await store.get(id).catch((error: unknown) => error)
    expect(read instanceof DataLossError).toBe(!needed.includes(id))
  }
  expect(await world.collect()).toMatchObject({ packsRepacked: 0, bytesBefore: report.bytesAfter })
})

test('many small packs become one', async () => {
  await using world = await openWorld()
  for (let seed = 0; seed < 10; seed += 1) world.roots.addChunk(await world.put(seed, 100))
  expect(await world.collect()).toMatchObject({ packsRepacked: 10, packsAfter: 1 })
  expect(await objectCount(world)).toBe(1)
})

test('a long content is kept with all its parts', async () => {
  await using world = await openWorld()
  const { store } = world.parts
  const contents = new ChunkedContents(store)
  const bytes = seededBytes(1, 5_000_000)
  const content = await contents.writeBytes(bytes)
  await store.flush()
  await world.put(2, 100)
  world.roots.roots.push({ kind: 'content', content })
  expect(await world.collect()).toMatchObject({ packsDeleted: 1, packsAfter: 1 })
  const read = Buffer.concat(await Array.fromAsync(contents.read(content)))
  expect(Buffer.compare(read, bytes)).toBe(0)
})

test.each(putCounts)(
  'what was put under a lease stays until the lease ends, and what it found there, too (put %d times)',
  async (count) => {
    await using world = await openWorld()
    const found = await putTimes(world, count, 1)
    {
      using _ = world.parts.store.leases.begin()
      expect(await world.put(1, 5000)).toBe(found)
      const put = await world.put(2, 5000)
      expect(await world.collect()).toMatchObject({ packsDeleted: 0, packsLeased: 1 })
      expect(await world.collect()).toMatchObject({ packsDeleted: 0, packsLeased: 1 })
      await expectBytes(world, found, seededBytes(1, 5000))
      await expectBytes(world, put, seededBytes(2, 5000))
    }
    expect(await world.collect()).toMatchObject({ packsDeleted: 2, packsLeased: 0, packsAfter: 0 })
  },
)

test('a lease that began before many collections keeps what it put all the time', async () => {
  await using world = await openWorld()
  using _ = world.parts.store.leases.begin()
  const ids: ChunkId[] = []
  for (let round = 0; round < 20; round += 1) {
    ids.push(await world.put(round, 1000))
    expect(await world.collect()).toMatchObject({ packsDeleted: 0 })
  }
  for (const [at, id] of ids.entries()) {
    await expectBytes(world, id, seededBytes(at, 1000))
  }
})

test.each(putCounts)(
  'what a put finds there while the marks are made is kept (put %d times)',
  async (count) => {
    await using world = await openWorld()
    const id = await putTimes(world, count, 1)
    using lease = world.parts.store.leases.begin()
    world.roots.onAsked = async () => {
      await world.put(1, 5000)
    }
    expect(await world.collect()).toMatchObject({ packsDeleted: 0 })
    await expectBytes(world, id, seededBytes(1, 5000))
    lease[Symbol.dispose]()
    // The collection in which the lease ends keeps it still; the next one does not.
    world.roots.onAsked = async () => undefined
    expect(await world.collect()).toMatchObject({ packsDeleted: 1 })
  },
)

test('what somebody is just taking over, from a row that goes, is kept', async () => {
  await using world = await openWorld()
  const id = await world.put(1, 5000)
  using lease = world.parts.store.leases.beginReading()
  const clock = new SystemClock()
  world.roots.onAsked = async () => {
    // The row is gone before it is asked for; whoever has read it needs some time to say so.
    void lease.acquire(async () => {
      await clock.sleep(50)
      lease.hold({ kind: 'chunk', chunk: id })
    })
  }
  expect(await world.collect()).toMatchObject({ packsDeleted: 0, chunksMarked: 1 })
  await expectBytes(world, id, seededBytes(1, 5000))
})

test.each(putCounts)(
  'what is put again while its old pack is being deleted is there afterwards (put %d times)',
  async (count) => {
    await using world = await openWorld({ graceMs: 300 })
    const id = await putTimes(world, count, 1)
    const collected = world.collect()
    const { database } = world.parts
    const listed = (): Promise<unknown> => database.read((tx) => tx.get('SELECT name FROM packs'))
    while ((await listed()) !== undefined) await new SystemClock().sleep(1)
    // The same chunk alone is a pack of the same name.
    expect(await world.put(1, 5000)).toBe(id)
    expect(await collected).toMatchObject({ packsDeleted: 1 })
    await expectBytes(world, id, seededBytes(1, 5000))
    expect(await objectCount(world)).toBe(1)
  },
)

test('a reader whose pack goes before it has read looks the chunk up again', async () => {
  const objects = new HesitantObjects()
  await using world = await openWorld({ objects })
  const { store } = world.parts
  const ids: ChunkId[] = []
  for (let seed = 0; seed < 100; seed += 1) ids.push(await store.put(seededBytes(seed, 2000)))
  await store.flush()
  const [id] = ids
  if (id !== undefined) world.roots.addChunk(id)
  await expectBytes(world, id as ChunkId, seededBytes(0, 2000))
  const waits = Promise.withResolvers<undefined>()
  objects.hesitates = waits
  const reading = store.get(id as ChunkId)
  while (objects.hesitates !== undefined) await new SystemClock().sleep(1)
  expect(await world.collect()).toMatchObject({ packsRepacked: 1 })
  waits.resolve(undefined)
  expect(Buffer.compare(await reading, seededBytes(0, 2000))).toBe(0)
})

test('a second collection is told that one is running; whoever joins packs waits for its end', async () => {
  await using world = await openWorld()
  const ended: string[] = []
  let joining: Promise<unknown> = Promise.resolve()
  world.roots.onAsked = async () => {
    world.roots.onAsked = async () => undefined
    await expect(world.collect()).rejects.toThrow('has been running for 0 s')
    joining = world.collector.compact(signal).then(() => ended.push('compact'))
  }
  await world.collect()
  ended.push('collect')
  await joining
  expect(ended).toEqual(['collect', 'compact'])
})

test('a cancelled collection deletes nothing, and the next one does its work', async () => {
  await using world = await openWorld()
  await world.put(1, 5000)
  const stop = new AbortController()
  world.roots.onAsked = async () => stop.abort()
  world.roots.addChunk(await world.put(2, 5000))
  world.roots.addChunk(await world.put(3, 5000))
  const cancelled = world.collector.collect({ signal: stop.signal })
  await expect(cancelled).rejects.toThrow('the collection was cancelled')
  expect(await objectCount(world)).toBe(3)
  expect(await world.collect()).toMatchObject({ packsDeleted: 1, packsAfter: 2 })
})

test('nothing is deleted when a chunk that is needed is missing, whatever it holds', async () => {
  await using world = await openWorld()
  await world.put(1, 5000)
  world.roots.addChunk('f'.repeat(64) as ChunkId)
  await expect(world.collect()).rejects.toThrow(/nothing was collected.*missing.*ffff/)
  expect(await objectCount(world)).toBe(1)
  expect(await world.collect({ isRehearsal: true })).toMatchObject({ chunksMissing: 1 })
})

test('nothing is deleted when a tree that is needed cannot be read', async () => {
  await using world = await openWorld()
  await world.put(1, 5000)
  const missing = 'f'.repeat(64) as ChunkId
  world.roots.roots.push({ kind: 'tree', root: missing })
  await expect(world.collect()).rejects.toThrow(/nothing was collected.*ffff is missing/)
  expect(await objectCount(world)).toBe(1)
})

test('a reader finds chunks that move while it reads', async () => {
  await using world = await openWorld()
  const { store } = world.parts
  const ids: ChunkId[] = []
  for (let seed = 0; seed < 300; seed += 1) ids.push(await store.put(seededBytes(seed, 2000)))
  await store.flush()
  for (const [at, id] of ids.entries()) if (at % 3 === 0) world.roots.addChunk(id)
  const over = new AbortController()
  const reading = (async () => {
    for (let at = 0; !over.signal.aborted; at = (at + 3) % 300) {
      await expectBytes(world, ids[at] as ChunkId, seededBytes(at, 2000))
    }
  })()
  expect(await world.collect()).toMatchObject({ packsRepacked: 1 })
  for (let round = 0; round < 5; round += 1) {
    for (let seed = 0; seed < 8; seed += 1) await world.put(1000 + round * 8 + seed, 100)
    await world.collector.compact(signal)
  }
  over.abort()
  await reading
})

test('a file that is what a directory or a list is made of does not hide what they keep', async () => {
  await using world = await openWorld()
  const { store } = world.parts
  const trees = new FileTrees(store)
  const contents = new ChunkedContents(store)
  const long = await contents.writeBytes(seededBytes(9999, 12_000_000))
  const kept: ChunkId[] = []
  for (let seed = 0; seed < 500; seed += 1) kept.push(await store.put(seededBytes(seed, 1000)))
  const files = kept.map((chunk, index) => ({
    name: `f${String(index).padStart(4, '0')}`,
    content: { kind: 'chunk', chunk, sizeBytes: 1000 } as const,
  }))
  const { root } = await trees.directoryOf(once([...files, { name: 'long', content: long }]))
  // What scans the directory as a map reads its nodes, and nothing of its files.
  const nodes = new ChunkWalk(store)
  await nodes.root({ kind: 'map', root })
  await store.flush()
  // Anyone who can read a directory can put files that have the bytes of its nodes.
  assert(long.kind === 'list', 'a file of many chunks is a list')
  for (const id of [...nodes.seen, long.root]) world.roots.addChunk(id)
  world.roots.roots.push({ kind: 'map', root }, { kind: 'tree', root })
  expect(nodes.seen.size).toBeGreaterThan(1)
  expect(await world.collect()).toMatchObject({ chunksMissing: 0 })
  for (const [seed, id] of kept.entries()) await expectBytes(world, id, seededBytes(seed, 1000))
  const read = await Array.fromAsync(contents.read(long))
  expect(read.reduce((sum, { length }) => sum + length, 0)).toBe(12_000_000)
})

async function* once<Item>(item: Item): AsyncGenerator<Item> {
  await Promise.resolve()
  yield item
}
