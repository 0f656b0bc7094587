import { createHash } from 'node:crypto'
import { array, assert, asyncProperty, boolean, constantFrom, integer, record } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DataLossError } from '../base/errors.ts'
import { type ChunkId, chunkBytesMax, type ChunkStore } from '../storage/chunks.ts'
import { seededBytes } from './seeded-random.ts'

export type OpenChunkStore = () => Promise<ChunkStore & AsyncDisposable>

/** What every chunk store must do. */
export function describeChunkStore(name: string, open: OpenChunkStore): void {
  describe(`chunk store: ${name}`, () => {
    testAnyOrder(open)

    test('a chunk is named by the SHA-256 of its bytes and comes back, before and after a flush', async () => {
      await using store = await open()
      for (const size of [0, 1, 100, 4095, 4096, 130_000, 1_000_000, chunkBytesMax]) {
        for (const bytes of [seededBytes(size, size), new Uint8Array(size).fill(7)]) {
          const id = await store.put(bytes)
          expect(id).toBe(createHash('sha256').update(bytes).digest('hex'))
          expect(Buffer.compare(await store.get(id), bytes)).toBe(0)
          await store.flush()
          expect(Buffer.compare(await store.get(id), bytes)).toBe(0)
        }
      }
    })

    test('the store keeps its own copy', async () => {
      await using store = await open()
      for (const size of [10, 200_000]) {
        const bytes = new Uint8Array(size).fill(1)
        const id = await store.put(bytes)
        bytes.fill(2)
        expect((await store.get(id)).every((byte) => byte === 1)).toBe(true)
        await store.flush()
        expect((await store.get(id)).every((byte) => byte === 1)).toBe(true)
      }
    })

    test('what was read while it was put is not the bytes of the putter', async () => {
      await using store = await open()
      const bytes = seededBytes(1, 500_000)
      const original = bytes.slice()
      const putting = store.put(bytes)
      const reading = store.get(createHash('sha256').update(bytes).digest('hex') as ChunkId)
      await putting
      bytes.fill(0)
      expect(Buffer.compare(await reading, original)).toBe(0)
    })

    test('a chunk that was never put is reported as lost data', async () => {
      await using store = await open()
      await store.put(new Uint8Array([1]))
      await expect(store.get('0'.repeat(64) as ChunkId)).rejects.toThrow(DataLossError)
      await store.flush()
      await expect(store.get('0'.repeat(64) as ChunkId)).rejects.toThrow(DataLossError)
    })

    test('a chunk above the bound is refused', async () => {
      await using store = await open()
      await expect(
        (async () => await store.put(new Uint8Array(chunkBytesMax + 1)))(),
      ).rejects.toThrow('a chunk holds at most')
    })
  })
}

function testAnyOrder(open: OpenChunkStore): void {
  test('puts, gets and flushes in any order, many at once, behave like a map', async () => {
    await assert(
      asyncProperty(array(command, { maxLength: 60 }), async (commands) => {
        await using store = await open()
        const model = new Map<ChunkId, Uint8Array>()
        const running: Promise<unknown>[] = []
        for (const { kind, seed, size, wait } of commands) {
          if (kind === 'flush') running.push(store.flush())
          else {
            const bytes = seededBytes(seed, size)
            running.push(Promise.resolve(store.put(bytes)).then((id) => model.set(id, bytes)))
          }
          if (wait) await Promise.all(running.splice(0))
          for (const [id, bytes] of model) {
            expect(Buffer.compare(await store.get(id), bytes)).toBe(0)
          }
        }
        await Promise.all(running)
      }),
      { numRuns: 30 },
    )
  })
}

const command = record({
  kind: constantFrom('put', 'put', 'put', 'flush'),
  seed: integer({ min: 1, max: 20 }),
  size: constantFrom(1, 50, 1000, 5000, 200_000),
  wait: boolean(),
})
