import { expect, test } from 'vitest'
import { CheckRun } from '../../base/check-run.ts'
import { openPackedStore } from '../../testing/packed-store.ts'
import { seededBytes } from '../../testing/seeded-random.ts'
import { ChunkedContents } from '../chunked-contents.ts'
import type { ChunkId } from '../chunks.ts'
import { MemoryObjectStore } from '../memory-objects.ts'
import type { ObjectKey } from '../object-store.ts'
import { entryBytes, headerBytes, indexOffset } from '../packs/format.ts'
import type { SealedPack } from '../packs/sealed-packs.ts'
import { listPacks } from '../packs/stored-packs.ts'
import { wholeChunks } from './pack-rescue.ts'

/** Objects that are read with zeros in some places. */
class ZeroedObjects extends MemoryObjectStore {
  readonly zeroed: { readonly from: number; readonly to: number }[] = []

  override async get(key: ObjectKey, offset: number, length: number): Promise<Uint8Array> {
    const bytes = await super.get(key, offset, length)
    for (const { from, to } of this.zeroed) {
      bytes.fill(0, clamp(from - offset, bytes.length), clamp(to - offset, bytes.length))
    }
    return bytes
  }
}

function clamp(at: number, length: number): number {
  return Math.min(Math.max(at, 0), length)
}

/** Compressible, and different for each seed. */
function textOf(seed: number, size: number): Uint8Array {
  return Buffer.from(`${seed} says something again and again. `.repeat(size)).subarray(0, size)
}

const contents = {
  raw: seededBytes(1, 1000),
  text: textOf(2, 10_000),
  nextText: textOf(3, 300_000),
  // More than a frame is searched for in at once, and with what seems to begin one.
  longRaw: Buffer.concat([
    seededBytes(4, 100_000),
    Buffer.from('28b52ffd', 'hex'),
    seededBytes(5, 100_000),
  ]),
  longText: textOf(6, 2_000_000),
  one: seededBytes(7, 1500),
  other: seededBytes(8, 1600),
}

/** Which chunks of a pack are found when these places of it are zeros. */
async function rescued(
  zeroed: (
    dataEnd: number,
    indexOf: (name: keyof typeof contents) => number,
  ) => readonly { readonly from: number; readonly to: number }[],
): Promise<readonly string[]> {
  const objects = new ZeroedObjects()
  await using parts = await openPackedStore({ objects })
  const { store, database } = parts
  const names = new Map<ChunkId, string>()
  for (const [name, bytes] of Object.entries(contents)) names.set(await store.put(bytes), name)
  await store.flush()
  const [listed] = await Array.fromAsync(listPacks(database))
  const [stored] = await Array.fromAsync(objects.list('packs/'))
  if (listed === undefined || stored === undefined) throw new Error('there is a pack')
  const dataEnd = indexOffset(listed.pack.sizeBytes, listed.pack.chunkCount)
  const sorted = [...names.keys()].toSorted()
  const indexOf = (name: string): number => sorted.findIndex((id) => names.get(id) === name)
  objects.zeroed.push(...zeroed(dataEnd, indexOf))
  const options = { full: true, fix: true, exclusive: true }
  const run = new CheckRun(options, new AbortController().signal, async () => undefined)
  const found = await wholeChunks(objects, listed, stored, run)
  for (const { id, encoding } of found) {
    expect(encoding).toBe(/text/i.test(names.get(id) ?? '') ? 'zstd' : 'raw')
  }
  return found.map(({ id }) => names.get(id) ?? 'unknown')
}

test('all chunks of a pack without an index are found', async () => {
  const found = await rescued((dataEnd) => [
    { from: dataEnd, to: dataEnd + entryBytes * Object.keys(contents).length },
  ])
  expect(found).toEqual(Object.keys(contents))
})

test('chunks whose entries are lost are found between those that have one', async () => {
  const found = await rescued((dataEnd, indexOf) =>
    (['text', 'nextText', 'other'] as const).map((name) => ({
      from: dataEnd + entryBytes * indexOf(name),
      to: dataEnd + entryBytes * (indexOf(name) + 1),
    })),
  )
  expect(found).toEqual(Object.keys(contents))
})

/** What is put first lies first. */
const textStart = headerBytes + contents.raw.length

test('a compressed chunk that is damaged is not found, and those beside it are', async () => {
  const found = await rescued((dataEnd) => [
    { from: dataEnd, to: dataEnd + entryBytes * Object.keys(contents).length },
    { from: textStart + 15, to: textStart + 20 },
  ])
  expect(found).toEqual(['raw', 'nextText', 'longRaw', 'longText', 'one', 'other'])
})

/** How many chunks of a pack of long files are found in its first bytes, and of how many. */
async function foundIn(
  sizeOf: (listed: SealedPack) => number,
  damagedAt?: number,
): Promise<{ readonly found: number; readonly all: number }> {
  const objects = new ZeroedObjects()
  await using parts = await openPackedStore({ objects })
  const { store, database } = parts
  const files = new ChunkedContents(store)
  for (const seed of [1, 2]) await files.writeBytes(seededBytes(seed, 2_000_000))
  await store.flush()
  const [listed] = await Array.fromAsync(listPacks(database))
  const [stored] = await Array.fromAsync(objects.list('packs/'))
  if (listed === undefined || stored === undefined) throw new Error('there is a pack')
  if (damagedAt !== undefined) objects.zeroed.push({ from: damagedAt, to: damagedAt + 1000 })
  const options = { full: true, fix: true, exclusive: true }
  const run = new CheckRun(options, new AbortController().signal, async () => undefined)
  const info = { ...stored, sizeBytes: sizeOf(listed.pack) }
  const { length } = await wholeChunks(objects, listed, info, run)
  return { found: length, all: listed.pack.chunkCount }
}

test('all of what lies before the cut is found in a pack of long files that has lost its index', async () => {
  const index = await foundIn(({ sizeBytes, chunkCount }) => indexOffset(sizeBytes, chunkCount))
  expect(index.all).toBeGreaterThan(5)
  expect(index.found).toBe(index.all)
  const some = await foundIn(({ sizeBytes }) => sizeBytes - 30_000)
  expect(some.all - some.found).toBeLessThanOrEqual(2)
})

test('behind a damaged part of a long file the next parts are found', async () => {
  const { found, all } = await foundIn(
    ({ sizeBytes, chunkCount }) => indexOffset(sizeBytes, chunkCount),
    headerBytes + 1000,
  )
  expect(found).toBe(all - 1)
})
