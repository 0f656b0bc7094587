import { describe, expect, test } from 'vitest'
import { utf8, utf8Text } from '../base/bytes.ts'
import { DataLossError } from '../base/errors.ts'
import { CountingChunks } from '../testing/counting-chunks.ts'
import type { MapEdit, MapEntry } from './prolly/map-entries.ts'
import { MemoryChunkStore } from './memory-chunks.ts'
import { keyHash } from './prolly/boundaries.ts'
import { type MapRoot, ProllyMaps } from './prolly-map.ts'

function keyOf(number: number): Uint8Array {
  return utf8(`key-${String(number).padStart(8, '0')}`)
}

function* numbered(count: number): Generator<MapEntry> {
  for (let number = 0; number < count; number += 1) {
    yield { key: keyOf(number), value: utf8(`value ${number * number}`) }
  }
}

/** Some at the beginning, and some all along. */
function isLate(_: unknown, index: number): boolean {
  return index % 97 === 3 || index < 5
}

describe('the format', () => {
  // The golden roots of docs/formats/prolly-trees.md.
  test('gives 12,345 fixed entries their golden root', async () => {
    const maps = new ProllyMaps(new MemoryChunkStore())
    expect(await maps.build(numbered(12_345))).toBe(
      '960385306d7cd0a99e03199a31eb58373c343681e649712a4916f0eb8cf8735e',
    )
  })

  test('gives the empty map its golden root', async () => {
    const maps = new ProllyMaps(new MemoryChunkStore())
    expect(await maps.empty()).toBe(
      '67abdd721024f0ff4e0b3f4c2fc13bc5bad42d0b7851d456d88d203d15aaa450',
    )
  })

  test('gives a map of three entries the documented bytes', async () => {
    const chunks = new MemoryChunkStore()
    const root = await new ProllyMaps(chunks).build([
      { key: utf8('apple'), value: utf8('1') },
      { key: utf8('apply'), value: utf8('') },
      { key: utf8('b'), value: utf8('22') },
    ])
    expect(Buffer.from(await chunks.get(root)).toString('hex')).toBe(
      '010003000005016170706c653104010079000102623232',
    )
  })

  test('spreads nodes around 4 KiB', async () => {
    const chunks = new CountingChunks(new MemoryChunkStore())
    await new ProllyMaps(chunks).build(numbered(50_000))
    const meanBytes = chunks.writtenBytes / chunks.writtenCount
    expect(meanBytes).toBeGreaterThan(2000)
    expect(meanBytes).toBeLessThan(5000)
  })

  test('gives large values nodes of their own', async () => {
    const chunks = new CountingChunks(new MemoryChunkStore())
    const maps = new ProllyMaps(chunks)
    const value = new Uint8Array(256 * 1024)
    const entries = Array.from({ length: 20 }, (_, number) => ({ key: keyOf(number), value }))
    const root = await maps.build(entries)
    expect(chunks.writtenCount).toBeGreaterThanOrEqual(21)
    expect(await maps.size(root)).toBe(20)
  })

  test('has fewer nodes on every level, even where each key would end its node', async () => {
    const maps = new ProllyMaps(new MemoryChunkStore())
    const entries = Array.from({ length: 50 }, (_, number) => ({
      key: utf8(String(number).padStart(20_000, '0')),
      value: utf8('x'),
    }))
    const root = await maps.build(entries)
    expect(await maps.size(root)).toBe(50)
  })

  test('bounds nodes whose keys were chosen not to end any, whatever their history', async () => {
    const value = new Uint8Array(64)
    const stubborn = Array.from({ length: 20_000 }, (_, number) => keyOf(number)).filter(
      (key) => keyHash(key, 0) > 0.7 * 2 ** 24,
    )
    const entries = stubborn.map((key) => ({ key, value }))
    const chunks = new CountingChunks(new MemoryChunkStore())
    const maps = new ProllyMaps(chunks)
    const root = await maps.build(entries)
    const meanBytes = chunks.writtenBytes / chunks.writtenCount
    expect(meanBytes).toBeGreaterThan(40_000)
    expect(chunks.writtenBytesMax).toBeLessThan(66_000)
    const late = entries.filter(isLate)
    const early = await maps.build(entries.filter((entry, index) => !isLate(entry, index)))
    expect(await maps.edit(early, late)).toBe(root)
    expect(
      await maps.edit(
        root,
        late.map(({ key }) => ({ key, value: undefined })),
      ),
    ).toBe(early)
  })
})

function refuse(): never {
  throw new Error('there is no conflict')
}

describe('the cost', () => {
  const entryCount = 100_000

  async function counted(): Promise<{
    root: MapRoot
    chunks: CountingChunks
    fresh: () => ProllyMaps
  }> {
    const chunks = new CountingChunks(new MemoryChunkStore())
    const root = await new ProllyMaps(chunks).build(numbered(entryCount))
    chunks.reset()
    return { root, chunks, fresh: () => new ProllyMaps(chunks) }
  }

  function edits(count: number): MapEdit[] {
    return Array.from({ length: count }, (_, index) => ({
      key: keyOf(Math.floor(((index + 0.5) * entryCount) / count)),
      value: utf8('changed'),
    }))
  }

  test('of reading one entry is a node a level', async () => {
    const { root, chunks, fresh } = await counted()
    expect(utf8Text((await fresh().get(root, keyOf(70_000))) ?? utf8(''))).toBe('value 4900000000')
    expect(chunks.readCount).toBeLessThanOrEqual(4)
  })

  test('of ten edits is a few nodes for each', async () => {
    const { root, chunks, fresh } = await counted()
    await fresh().edit(root, edits(10))
    expect(chunks.readCount).toBeLessThanOrEqual(40)
    expect(chunks.writtenCount).toBeLessThanOrEqual(40)
  })

  test('of the difference that one edit makes is two nodes a level', async () => {
    const { root, chunks, fresh } = await counted()
    const edited = await fresh().edit(root, edits(1))
    chunks.reset()
    const differences = await Array.fromAsync(fresh().diff(root, edited))
    expect(differences).toHaveLength(1)
    expect(chunks.readCount).toBeLessThanOrEqual(10)
  })

  test('of a merge is that of the few keys that one side has otherwise than both others', async () => {
    const { root, chunks, fresh } = await counted()
    const many = await fresh().edit(root, edits(20_000))
    const few = [{ key: utf8(`${utf8Text(keyOf(5))}!`), value: utf8('own') }]
    const both = await fresh().edit(many, few)
    for (const [base, ours, theirs, expected] of [
      // Many keys that both have alike, that only ours has, and that both have without a base.
      [root, many, both, both],
      [many, root, both, await fresh().edit(root, few)],
      [await fresh().empty(), many, both, both],
    ] as const) {
      chunks.reset()
      expect(await fresh().merge(base, ours, theirs, refuse)).toBe(expected)
      expect(chunks.readCount).toBeLessThanOrEqual(30)
    }
  })

  test('of many reads with a small cache is a leaf for each: what is in use stays', async () => {
    const { root, chunks } = await counted()
    const maps = new ProllyMaps(chunks, { cacheBytesMax: 64 * 1024 })
    for (let number = 0; number < 300; number += 1) await maps.get(root, keyOf(number * 200))
    expect(chunks.readCount).toBeLessThanOrEqual(340)
  })

  test('of a scan that stops early is what it read', async () => {
    const { root, chunks, fresh } = await counted()
    for await (const { key } of fresh().scan(root, { from: keyOf(5000) })) {
      if (utf8Text(key) >= utf8Text(keyOf(5010))) break
    }
    expect(chunks.readCount).toBeLessThanOrEqual(5)
  })

  test('of an edit that changes nothing is no new chunk', async () => {
    const store = new MemoryChunkStore()
    const maps = new ProllyMaps(store)
    const root = await maps.build(numbered(1000))
    const { count } = store
    expect(await maps.edit(root, [{ key: utf8('zzz'), value: undefined }])).toBe(root)
    expect(store.count).toBe(count)
  })
})

test('edits out of order are refused', async () => {
  const maps = new ProllyMaps(new MemoryChunkStore())
  const root = await maps.build(numbered(10))
  const wrong = [keyOf(3), keyOf(2)].map((key) => ({ key, value: utf8('x') }))
  await expect(maps.edit(root, wrong)).rejects.toThrow('sorted')
  await expect(maps.build(wrong)).rejects.toThrow('ascending')
})

test('a failing chunk store fails the build, and a failing source closes', async () => {
  const broken = new MemoryChunkStore()
  broken.put = () => Promise.reject(new Error('disk full'))
  await expect(new ProllyMaps(broken).build(numbered(20_000))).rejects.toThrow('disk full')
})

test('a source of edits is closed when the edit fails', async () => {
  let closed = false
  const maps = new ProllyMaps(new MemoryChunkStore())
  const root = await maps.build(numbered(10))
  async function* source(): AsyncGenerator<MapEdit> {
    try {
      for (let number = 1000; ; number -= 1) yield { key: keyOf(number), value: utf8('') }
    } finally {
      closed = true
    }
  }
  await expect(maps.edit(root, source())).rejects.toThrow('sorted')
  expect(closed).toBe(true)
})

test.each([
  '',
  '02000000',
  '01000100',
  '0100010001',
  '010001000001026162',
  '0100000000',
  '0120000000',
])('bytes that are no node (%s) are data loss', async (hex) => {
  const chunks = new MemoryChunkStore()
  const root = await chunks.put(Buffer.from(hex, 'hex'))
  await expect(new ProllyMaps(chunks).size(root)).rejects.toThrow(DataLossError)
})
