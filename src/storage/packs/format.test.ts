import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { DataLossError } from '../../base/errors.ts'
import { chunkIdBytes, chunkIdOf } from '../chunk-id.ts'
import type { ChunkId } from '../chunks.ts'
import {
  decodeIndex,
  decodeTrailer,
  encodeFooter,
  entryAt,
  fenceBytes,
  indexInBlock,
  findInFence,
  indexOffset,
  type IndexedChunk,
  packHeader,
  packKey,
  packNameOf,
  sortedById,
} from './format.ts'

function chunk(text: string, offset: number): IndexedChunk {
  const bytes = Buffer.from(text)
  const storedBytes = bytes.length
  return { id: chunkIdOf(bytes), offset, storedBytes, rawBytes: storedBytes, encoding: 'raw' }
}

/** The little-endian bytes of each number, four a number. */
function words(...numbers: readonly number[]): string {
  const bytes = Buffer.alloc(numbers.length * 4)
  for (const [at, number] of numbers.entries()) bytes.writeUInt32LE(number, at * 4)
  return bytes.toString('hex')
}

describe('the format of a pack', () => {
  test('chunks are sorted by all digits of their ids', () => {
    const digits = ['', '0', 'f', '80000000', '7fffffff', 'ffffffff', '00000001', '00000001f']
    const named = Array.from({ length: 200 }, (_, index) => ({
      ...chunk(String(index), index),
      id: `${digits[index % digits.length]}${chunkIdOf(Buffer.of(index))}`.slice(0, 64) as ChunkId,
    }))
    expect(sortedById(named).map(({ id }) => id)).toEqual(named.map(({ id }) => id).toSorted())
    expect(sortedById([])).toEqual([])
  })

  test('a header and a footer are, byte by byte, what docs/formats/packs.md says', () => {
    expect(Buffer.from(packHeader()).toString('hex')).toBe(
      Buffer.from('pachpack').toString('hex') + words(1, 0),
    )
    // SHA-256 of 'b' is 3e23…, of 'a' ca97…, of the zeros 1220….
    const a = 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'
    const b = '3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d'
    const zeros = createHash('sha256').update(Buffer.alloc(5000)).digest('hex')
    const chunks = [chunk('a', 16), chunk('b', 17), chunk('\0'.repeat(5000), 18)]
    const footer = encodeFooter(sortedById(chunks), 5018)
    const entries = [
      [zeros, words(18, 5000, 5000, 0)],
      [b, words(17, 1, 1, 0)],
      [a, words(16, 1, 1, 0)],
    ].toSorted(([left = ''], [right = '']) => (left < right ? -1 : 1))
    const first = entries[0]?.[0] ?? ''
    const index = entries.map(([id = '', rest = '']) => id + rest).join('') + first
    const name = createHash('sha256').update(Buffer.from(index, 'hex')).digest('hex')
    const trailer =
      words(5018, 3, 1, 0) + name + words(0, 0) + Buffer.from('packtail').toString('hex')
    expect(Buffer.from(footer.bytes).toString('hex')).toBe(index + trailer)
    expect(footer.name).toBe(name)
    expect(Buffer.from(footer.fingerprints).toString('hex')).toBe(
      entries.map(([id = '']) => id.slice(0, 8)).join(''),
    )
    expect(packKey(name)).toBe(`packs/${name.slice(0, 2)}/${name}`)
    expect(packNameOf(packKey(name))).toBe(name)
  })

  test('every chunk is found by fence and block, and no other', () => {
    for (const count of [1, 63, 64, 65, 1000]) {
      const all = Array.from({ length: count * 2 }, (_, at) => chunk(`chunk ${at}`, 16 + at))
      const present = sortedById(all.filter((_, at) => at % 2 === 0))
      const footer = encodeFooter(present, 100_000)
      const sizeBytes = 100_000 + footer.bytes.length
      expect(indexOffset(sizeBytes, count)).toBe(100_000)
      const trailer = decodeTrailer(footer.bytes, sizeBytes, 'pack')
      expect(trailer).toEqual({ dataEnd: 100_000, chunkCount: count, name: footer.name })
      const index = footer.bytes.subarray(0, count * 48)
      const fence = footer.bytes.subarray(count * 48, count * 48 + fenceBytes(count))
      for (const [at, { id, ...entry }] of all.entries()) {
        const block = findInFence(fence, chunkIdBytes(id))
        const bytes = index.subarray(Math.max(0, block) * 64 * 48, (block + 1) * 64 * 48)
        const place = indexInBlock(bytes, chunkIdBytes(id))
        const found = place === undefined ? undefined : entryAt(bytes, place, 100_000, 'pack')
        expect(found).toEqual(at % 2 === 0 ? entry : undefined)
      }
      expect([...decodeIndex(index, 100_000, 'pack')]).toEqual(present)
    }
  })

  test('an entry that leads out of the chunks is reported as lost data', () => {
    const one = chunk('a', 16)
    for (const bad of [
      { ...one, offset: 15 },
      { ...one, offset: 99 },
      { ...one, storedBytes: 200 },
      { ...one, rawBytes: 2 },
      { ...one, rawBytes: 5_000_000 },
    ]) {
      const { bytes } = encodeFooter([bad], 100 - 1)
      expect(() => [...decodeIndex(bytes.subarray(0, 48), 99, 'pack')]).toThrow(DataLossError)
    }
  })

  test('a later version is refused by its number', () => {
    const footer = encodeFooter([chunk('a', 16)], 17)
    const later = Buffer.from(footer.bytes)
    later[later.length - 64 + 8] = 2
    expect(() => decodeTrailer(later, 17 + later.length, 'pack x')).toThrow(
      'pack x: has version 2, and only 1 is known',
    )
  })
})
