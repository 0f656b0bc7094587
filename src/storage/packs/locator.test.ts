import { expect, test } from 'vitest'
import { chunkIdBytes, chunkIdOf } from '../chunk-id.ts'
import type { ChunkId } from '../chunks.ts'
import { Locator } from './locator.ts'

function idAt(index: number): ChunkId {
  return chunkIdOf(Buffer.from(`chunk ${index}`))
}

test('the table names every pack that may hold a chunk, and hardly ever another', () => {
  const locator = new Locator()
  const packCount = 50
  for (let pack = 0; pack < packCount; pack += 1) {
    const fingerprints = Buffer.alloc(400)
    for (let at = 0; at < 100; at += 1) {
      fingerprints.set(chunkIdBytes(idAt(pack * 100 + at)).subarray(0, 4), at * 4)
    }
    locator.addAll(fingerprints, pack)
    // The same chunk twice, in two packs.
    locator.addAll(Buffer.from(chunkIdBytes(idAt(0)).subarray(0, 4)), pack)
  }
  expect(locator.count).toBe(101 * packCount)
  for (let index = 1; index < 100 * packCount; index += 1) {
    expect(locator.packsOf(idAt(index))).toContain(Math.floor(index / 100))
  }
  expect(locator.packsOf(idAt(0)).toSorted((left, right) => left - right)).toEqual(
    Array.from({ length: packCount }, (_, pack) => pack),
  )
  let wrong = 0
  for (let index = 100_000; index < 200_000; index += 1) {
    wrong += locator.packsOf(idAt(index)).length
  }
  expect(wrong).toBeLessThan(10)
})
