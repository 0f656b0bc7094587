import { afterAll, beforeAll, expect, test } from 'vitest'
import { concatBytes } from '../base/bytes.ts'
import { openPackedStore, type OpenedPackedStore } from '../testing/packed-store.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { ChunkedContents } from './chunked-contents.ts'
import type { ChunkStore } from './chunks.ts'
import type { Content } from './contents.ts'
import { MemoryChunkStore } from './memory-chunks.ts'

let parts: OpenedPackedStore
beforeAll(async () => {
  parts = await openPackedStore()
})
afterAll(() => parts[Symbol.asyncDispose]())

const stores: Readonly<Record<string, () => ChunkStore>> = {
  'in memory': () => new MemoryChunkStore(),
  'in packs, with threads': () => parts.store,
}

/** Around every size at which something else is done. */
const sizes = [
  [0, 1, 64, 65, 4095, 4096, 5000, 262_143, 262_144, 262_145, 0, 3_000_000, 10, 20],
  [700_000, 700_000, 700_000, 700_000, 64, 65, 100_000, 200_000, 9_000_000, 1],
].flat()
const samples = [
  ...sizes.map((size, seed) => seededBytes(seed, size)),
  ...Array.from({ length: 3000 }, (_, seed) => seededBytes(seed, 60 + (seed % 50))),
  ...Array.from({ length: 300 }, (_, seed) => seededBytes(seed % 7, 30_000)),
]

test.each(Object.keys(stores))(
  'a series %s makes the same contents as one by one, in order',
  async (name) => {
    const store = stores[name]?.() ?? new MemoryChunkStore()
    const contents = new ChunkedContents(store)
    const one = new ChunkedContents(new MemoryChunkStore())
    const expected: Content[] = []
    for (const sample of samples) expected.push(await one.writeBytes(sample))
    const made: Content[] = []
    {
      await using series = contents.series()
      const buffer = new Uint8Array(100_000)
      for (const sample of samples) {
        for (let at = 0; at < sample.length; at += buffer.length) {
          // From a buffer that is used again.
          const slice = sample.subarray(at, at + buffer.length)
          buffer.set(slice)
          series.push(buffer.subarray(0, slice.length))
          buffer.fill(0)
          made.push(...(await series.take()))
        }
        series.end()
        if (series.isFull) made.push(...(await series.take()))
      }
      made.push(...(await series.finish()))
    }
    expect(made.length).toBe(expected.length)
    expect(made.filter((content, at) => !equal(content, expected[at]))).toEqual([])
    await store.flush()
    const large = made[sizes.indexOf(3_000_000)]
    const read = large && concatBytes(await Array.fromAsync(contents.read(large)))
    expect(read && Buffer.compare(read, seededBytes(11, 3_000_000))).toBe(0)
  },
)

function equal(left: Content, right: Content | undefined): boolean {
  return JSON.stringify(left) === JSON.stringify(right)
}

test('a series that is given up midway lets everything go', async () => {
  const contents = new ChunkedContents(parts.store)
  for (const size of [10, 100_000, 3_000_000]) {
    await using series = contents.series()
    series.push(seededBytes(1, size))
    series.end()
    series.push(seededBytes(2, size))
  }
  const content = await contents.writeBytes(seededBytes(3, 5000))
  expect(content.kind).toBe('chunk')
})

test('a series whose store fails says so, and no push waits for ever', async () => {
  class FullStore extends MemoryChunkStore {
    override put(): Promise<never> {
      return Promise.reject(new Error('the disk is full'))
    }
  }
  for (const size of [100, 5000, 300_000]) {
    await using series = new ChunkedContents(new FullStore()).series()
    const pushAll = async (): Promise<unknown> => {
      for (let count = 0; count < 2000; count += 1) {
        series.push(seededBytes(count, size))
        series.end()
        if (series.isFull) await series.take()
      }
      return await series.finish()
    }
    await expect(pushAll()).rejects.toThrow('the disk is full')
  }
  // One that never ends.
  await using series = new ChunkedContents(new FullStore()).series()
  const pushOne = async (): Promise<never> => {
    for (let count = 0; ; count += 1) {
      series.push(seededBytes(count, 100_000))
      await series.take()
    }
  }
  await expect(pushOne()).rejects.toThrow('the disk is full')
})
