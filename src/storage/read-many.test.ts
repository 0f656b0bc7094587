import { createHash } from 'node:crypto'
import assert from 'node:assert'
import { expect, test, vi } from 'vitest'
import { hexText } from '../base/bytes.ts'
import { DataLossError } from '../base/errors.ts'
import { openPackedStoreInMemory } from '../testing/packed-store.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { ChunkedContents } from './chunked-contents.ts'
import type { SmallContent } from './contents.ts'
import { MemoryChunkStore } from './memory-chunks.ts'

const sizes = [0, 1, 64, 65, 1000, 200_000, 64]

/** A store that reads many at once, and one that does not. */
const stores = {
  packs: async () => {
    const parts = await openPackedStoreInMemory()
    return { chunks: parts.store, [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose]() }
  },
  memory: async () => ({ chunks: new MemoryChunkStore(), async [Symbol.asyncDispose]() {} }),
} as const

for (const [name, open] of Object.entries(stores)) {
  test(`many contents are read as they were written, in their order, from ${name}`, async () => {
    await using store = await open()
    const contents = new ChunkedContents(store.chunks)
    const written = sizes.map((size, seed) => seededBytes(seed + 1, size))
    const small: SmallContent[] = []
    for (const bytes of written) small.push((await contents.writeBytes(bytes)) as SmallContent)
    await store.chunks.flush()
    const read = await contents.readMany(small)
    expect(read.map((bytes) => Buffer.from(bytes).toString('base64'))).toEqual(
      written.map((bytes) => Buffer.from(bytes).toString('base64')),
    )
  })
}

test('contents that were read ahead are at hand, but for large ones', async () => {
  await using parts = await openPackedStoreInMemory()
  const contents = new ChunkedContents(parts.store)
  const small = Array.from({ length: 100 }, (_, seed) => seededBytes(seed, 100))
  const large = seededBytes(1, 20_000)
  const writing = [large, ...small].map(async (bytes) => contents.writeBytes(bytes))
  const written = await Promise.all(writing)
  await parts.store.flush()
  await contents.readAhead(written)
  const reads = vi.spyOn(parts.objects, 'get')
  for (const [index, content] of written.slice(1).entries()) {
    expect(await Array.fromAsync(contents.read(content))).toEqual([small[index]])
  }
  expect(reads).not.toHaveBeenCalled()
  await Array.fromAsync(contents.read(written[0] ?? assert.fail()))
  expect(reads).toHaveBeenCalled()
})

test('a content whose chunk has another size than it says is damaged', async () => {
  const contents = new ChunkedContents(new MemoryChunkStore())
  const content = await contents.writeBytes(seededBytes(1, 1000))
  const wrong = { ...content, sizeBytes: 999 } as SmallContent
  await expect(contents.readMany([wrong])).rejects.toThrow(DataLossError)
})

test.each([1, 64, 65, 256 * 1024])('%i bytes are one chunk, with its own hash', async (size) => {
  const contents = new ChunkedContents(new MemoryChunkStore())
  const content = await contents.writeBytes(seededBytes(size, size))
  const chunks = await Array.fromAsync(contents.chunks(content))
  expect(chunks).toEqual([{ hash: contents.hash(content), sizeBytes: size }])
})

test.each([
  [0, 0],
  [1, 1],
  [64, 1],
  [65, 1],
  [256 * 1024, 1],
  [9_000_000, 3],
])(
  'the chunks of %i bytes are these bytes, each with its SHA-256: at least %i',
  async (size, countMin) => {
    const contents = new ChunkedContents(new MemoryChunkStore())
    const bytes = seededBytes(size + 1, size)
    const content = await contents.writeBytes(bytes)
    const chunks = await Array.fromAsync(contents.chunks(content))
    let at = 0
    for (const { hash, sizeBytes } of chunks) {
      const digest = createHash('sha256')
        .update(bytes.subarray(at, at + sizeBytes))
        .digest('hex')
      expect(hexText(hash)).toBe(digest)
      at += sizeBytes
    }
    expect(at).toBe(size)
    expect(chunks.length).toBeGreaterThanOrEqual(countMin)
  },
)
