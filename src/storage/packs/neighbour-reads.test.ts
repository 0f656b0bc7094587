import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { concatBytes } from '../../base/bytes.ts'
import { DataLossError } from '../../base/errors.ts'
import { openPackedStore } from '../../testing/packed-store.ts'
import { seededBytes } from '../../testing/seeded-random.ts'
import { TemporaryDirectory } from '../../testing/temporary-directory.ts'
import type { ChunkId } from '../chunks.ts'
import { LocalObjectStore } from '../local-objects.ts'

const sizes = [100, 5000, 1000, 70_000]

function chunkOf(seed: number): Uint8Array {
  return seededBytes(seed, sizes[seed % sizes.length] ?? 0)
}

/** Puts `count` chunks in packs of 100, and gives their ids. */
async function fill(directory: string, count: number): Promise<readonly ChunkId[]> {
  await using parts = await openPackedStore({ directory })
  const ids: ChunkId[] = []
  for (let seed = 0; seed < count; seed += 1) {
    ids.push(await parts.store.put(chunkOf(seed)))
    if (seed % 100 === 99) await parts.store.flush()
  }
  return ids
}

function expectChunks(read: readonly Uint8Array[] | undefined, seeds: readonly number[]): void {
  const expected = concatBytes(seeds.map(chunkOf))
  expect(Buffer.compare(concatBytes(read ?? []), expected)).toBe(0)
}

test('chunks that lie together come in one read, in the order in which they were asked for', async () => {
  await using directory = await TemporaryDirectory.create()
  const ids = await fill(directory.path, 300)
  await using objects = await LocalObjectStore.open(directory.join('objects'))
  const get = vi.spyOn(objects, 'get')
  await using parts = await openPackedStore({ directory: directory.path, objects })
  // Every index block is known then.
  expectChunks(await parts.store.getMany?.(ids), [...ids.keys()])
  get.mockClear()
  const seeds = [...ids.keys()].toReversed()
  expectChunks(await parts.store.getMany?.(ids.toReversed()), seeds)
  // Some 1.9 MB in each of three packs.
  expect(get).toHaveBeenCalledTimes(3)
})

test('a chunk may be asked for twice, be in memory, or not be in a pack yet', async () => {
  await using parts = await openPackedStore()
  const [first, second, third] = [chunkOf(1), chunkOf(2), chunkOf(3)]
  const sealed = await parts.store.put(first)
  await parts.store.flush()
  const cached = await parts.store.put(second)
  await parts.store.flush()
  await parts.store.get(cached)
  const draft = await parts.store.put(third)
  const read = await parts.store.getMany?.([draft, sealed, cached, sealed])
  expectChunks(read, [3, 1, 2, 1])
  expect(await parts.store.getMany?.([])).toEqual([])
})

test('a damaged chunk fails as it does alone, and a missing one', async () => {
  await using directory = await TemporaryDirectory.create()
  const [id = '' as ChunkId, ...others] = await fill(directory.path, 100)
  const missing = 'f'.repeat(64) as ChunkId
  await using parts = await openPackedStore({ directory: directory.path })
  await expect(parts.store.getMany?.([...others, missing])).rejects.toThrow(
    `chunk ${missing} is missing`,
  )
  const [pack] = await Array.fromAsync(parts.objects.list('packs/'))
  const path = join(directory.join('objects'), pack?.key ?? '')
  const bytes = new Uint8Array(pack?.sizeBytes ?? 0)
  await writeFile(path, bytes)
  await expect(parts.store.getMany?.([id, ...others])).rejects.toThrow(DataLossError)
})
