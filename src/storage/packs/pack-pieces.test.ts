import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { NotFoundError } from '../../base/errors.ts'
import { seededBytes } from '../../testing/seeded-random.ts'
import { MemoryObjectStore } from '../memory-objects.ts'
import { type ObjectKey, parseObjectKey } from '../object-store.ts'
import { PackPieces } from './pack-pieces.ts'

const key = parseObjectKey('packs/a')
const packBytes = 400_000
const pack = seededBytes(1, packBytes)
const cacheBytes = 1024 * 1024

/** Counts what is read of it. */
class CountingObjectStore extends MemoryObjectStore {
  count = 0

  override get(name: ObjectKey, offset: number, length: number): Promise<Uint8Array> {
    this.count += 1
    return super.get(name, offset, length)
  }
}

async function openStore(): Promise<CountingObjectStore> {
  const objects = new CountingObjectStore()
  await objects.putIfAbsent(key, [pack])
  return objects
}

test('every piece is what the store has there, in whatever order and size', async () => {
  const piece = fc.record({
    offset: fc.nat({ max: packBytes - 1 }),
    length: fc.oneof(fc.integer({ min: 1, max: 20_000 }), fc.integer({ min: 1, max: 200_000 })),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { maxLength: 20 }),
      fc.constantFrom(0, 300_000, cacheBytes),
      async (places, bytesMax) => {
        const pieces = new PackPieces(await openStore(), bytesMax)
        const read = await Promise.all(
          places.map(({ offset, length }) => pieces.get(key, offset, length)),
        )
        for (const [index, { offset, length }] of places.entries()) {
          const expected = pack.subarray(offset, offset + length)
          expect(Buffer.compare(read[index] ?? new Uint8Array(), expected)).toBe(0)
        }
      },
    ),
  )
})

test('small pieces one after the other are read in few blocks, and hold no more than themselves', async () => {
  const objects = await openStore()
  const pieces = new PackPieces(objects, cacheBytes)
  for (let offset = 0; offset + 100 <= packBytes; offset += 100) {
    const bytes = await pieces.get(key, offset, 100)
    expect(bytes.buffer.byteLength).toBe(100)
  }
  expect(objects.count).toBeLessThan(10)
})

test('pieces here and there, and large ones, are read alone', async () => {
  const objects = await openStore()
  const pieces = new PackPieces(objects, cacheBytes)
  for (const offset of [0, 200_000, 3000, 390_000]) await pieces.get(key, offset, 100)
  expect(objects.count).toBe(4)
  for (const offset of [0, 20_000, 40_000]) {
    expect((await pieces.get(key, offset, 20_000)).length).toBe(20_000)
  }
  expect(objects.count).toBe(7)
})

test('what was read is read anew once it is forgotten', async () => {
  const objects = await openStore()
  const pieces = new PackPieces(objects, cacheBytes)
  for (let round = 0; round < 3; round += 1) await pieces.get(key, 100, 100)
  const { count } = objects
  pieces.forget(key, 100)
  await objects.delete(key)
  await expect(pieces.get(key, 100, 100)).rejects.toThrow(NotFoundError)
  expect(objects.count).toBe(count + 1)
})
