import { expect, test } from 'vitest'
import { collectBytes, concatBytes, equalBytes } from '../base/bytes.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { ChunkedContents } from './chunked-contents.ts'
import type { ChunkId } from './chunks.ts'
import type { Content } from './contents.ts'
import { MemoryChunkStore } from './memory-chunks.ts'
import { type ChunkOrigin, OfferedContents } from './offered-contents.ts'

const { signal } = new AbortController()
const sizeMax = 64 * 1024 * 1024

/** A store elsewhere, and a content in it. */
async function elsewhere(bytes: Uint8Array) {
  const chunks = new MemoryChunkStore()
  const content = await new ChunkedContents(chunks).writeBytes(bytes)
  const asked: ChunkId[] = []
  const origin: ChunkOrigin = {
    async *fetch(ids) {
      asked.push(...ids)
      for (const id of ids) yield await chunks.get(id)
    },
  }
  return { content, origin, asked }
}

function randomBytes(size: number, seed: number): Uint8Array {
  return seededBytes(seed, size)
}

async function pull(
  store: MemoryChunkStore,
  origin: ChunkOrigin,
  content: Content,
  offset = 0,
): Promise<{ readonly bytes: Uint8Array; readonly heldBytes: number }> {
  let heldBytes = 0
  const onHeld = (count: number): void => {
    heldBytes += count
  }
  const pieces = new OfferedContents(store).bytes(origin, content, { offset, signal, onHeld })
  return { bytes: await collectBytes(pieces, sizeMax), heldBytes }
}

test('bytes come from elsewhere, and those that are here from here', async () => {
  const bytes = randomBytes(9_000_000, 1)
  const there = await elsewhere(bytes)
  const store = new MemoryChunkStore()
  const first = await pull(store, there.origin, there.content)
  expect([equalBytes(first.bytes, bytes), first.heldBytes]).toEqual([true, 0])
  const offered = new OfferedContents(store)
  expect(await offered.isHeld(there.content)).toBe(false)
  const content = await new ChunkedContents(store).writeBytes(bytes)
  expect(content).toEqual(there.content)
  expect(await offered.isHeld(there.content)).toBe(true)
  there.asked.length = 0
  expect((await pull(store, there.origin, there.content)).heldBytes).toBe(bytes.length)
  expect(there.asked).toEqual([])
  // Of a content that differs in the middle, only what differs comes.
  const other = concatBytes([
    bytes.subarray(0, 4_000_000),
    randomBytes(10, 2),
    bytes.subarray(4_000_000),
  ])
  const changed = await elsewhere(other)
  const pulled = await pull(store, changed.origin, changed.content)
  expect(equalBytes(pulled.bytes, other)).toBe(true)
  expect(pulled.heldBytes).toBeGreaterThan(4_000_000)
})

test('what is before the offset does not come', async () => {
  const bytes = randomBytes(9_000_000, 3)
  const there = await elsewhere(bytes)
  const all = await elsewhere(bytes)
  await pull(new MemoryChunkStore(), all.origin, all.content)
  const counts: number[] = []
  for (const offset of [0, 1, 100, 4_500_000, 8_999_999, 9_000_000]) {
    there.asked.length = 0
    const { bytes: rest } = await pull(new MemoryChunkStore(), there.origin, there.content, offset)
    expect(equalBytes(rest, bytes.subarray(offset))).toBe(true)
    counts.push(there.asked.length)
  }
  // The last two need the list, and of the contents one chunk, or none.
  expect(counts.slice(-2)).toEqual([2, 1])
  expect(counts[0]).toBe(all.asked.length)
  expect(counts[3]).toBeLessThan(all.asked.length)
})

test('small contents are taken many at a time, and nothing of a store that says what is not so', async () => {
  const small = await elsewhere(randomBytes(1000, 4))
  const large = await elsewhere(randomBytes(3_000_000, 5))
  const store = new MemoryChunkStore()
  const offered = new OfferedContents(store)
  const came = await offered.takeSmall(small.origin, [small.content, large.content], signal)
  expect(came.size).toBe(1)
  expect(await offered.isHeld(small.content)).toBe(true)
  expect(large.asked).toEqual([])
  // The chunk is here, but not what it is said to be.
  expect(await offered.isHeld({ ...small.content, sizeBytes: 999 } as Content)).toBe(false)
  const liars: readonly (readonly [string, ChunkOrigin])[] = [
    ['another chunk', { fetch: () => once(randomBytes(1000, 6)) }],
    ['another chunk', { fetch: () => once(new Uint8Array(5 * 1024 * 1024)) }],
    ['fewer chunks', { fetch: () => once() }],
  ]
  for (const [what, origin] of liars) {
    const fresh = new MemoryChunkStore()
    const taking = new OfferedContents(fresh).takeSmall(origin, [small.content], signal)
    await expect(taking).rejects.toThrow(what)
    await expect(pull(fresh, origin, large.content)).rejects.toThrow(what)
    expect(fresh.count).toBe(0)
  }
  const notList = {
    kind: 'list',
    root: (small.content as { chunk: ChunkId }).chunk,
    sizeBytes: 9,
  } as const
  await expect(pull(new MemoryChunkStore(), small.origin, notList)).rejects.toThrow('no chunk list')
  expect(await offered.isHeld(notList)).toBe(false)
})

async function* once(...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}
