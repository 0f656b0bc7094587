import { expect, test } from 'vitest'
import { openPackedStore } from '../testing/packed-store.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { copyPacks } from './copy-packs.ts'
import { MemoryObjectStore } from './memory-objects.ts'
import { type ObjectKey, parseObjectKey } from './object-store.ts'

/** Counts the puts, and fails after some. */
class Target extends MemoryObjectStore {
  puts = 0
  putsMax = Infinity

  override async putIfAbsent(...args: Parameters<MemoryObjectStore['putIfAbsent']>) {
    if (this.puts >= this.putsMax) throw new Error('the disk was pulled out')
    this.puts += 1
    return await super.putIfAbsent(...args)
  }
}

async function packsOf(count: number): Promise<MemoryObjectStore> {
  const objects = new MemoryObjectStore()
  await using parts = await openPackedStore({ objects })
  for (let seed = 0; seed < count; seed += 1) {
    await parts.store.put(seededBytes(seed, 5000))
    await parts.store.flush()
  }
  return objects
}

async function contents(objects: MemoryObjectStore): Promise<readonly string[]> {
  const found: string[] = []
  for await (const { key, sizeBytes } of objects.list('')) {
    found.push(`${key} ${Buffer.from(await objects.get(key, 0, sizeBytes)).toString('base64')}`)
  }
  return found
}

test('all packs are copied, and what was copied before an end is not copied again', async () => {
  const from = await packsOf(5)
  const to = new Target()
  to.putsMax = 3
  await expect(copyPacks(from, to, () => undefined)).rejects.toThrow('pulled out')
  to.putsMax = Infinity
  const steps: number[] = []
  const copied = await copyPacks(from, to, ({ count }) => steps.push(count))
  expect(copied).toMatchObject({ count: 5, damaged: [] })
  expect(steps).toEqual([1, 2, 3, 4, 5])
  expect(to.puts).toBe(5)
  expect(await contents(to)).toEqual(await contents(from))
})

test('a damaged pack is copied as it is, and told', async () => {
  const from = await packsOf(2)
  const [info] = await Array.fromAsync(from.list(''))
  const key: ObjectKey = info?.key ?? parseObjectKey('none')
  const bytes = Buffer.from(await from.get(key, 0, 100_000))
  bytes[bytes.length - 100] = (bytes[bytes.length - 100] ?? 0) ^ 1 // in its index
  await from.delete(key)
  await from.putIfAbsent(key, [bytes])
  const to = new Target()
  const { count, damaged } = await copyPacks(from, to, () => undefined)
  expect(count).toBe(2)
  expect(damaged.map(({ message }) => message)).toEqual([
    expect.stringContaining('its index is damaged'),
  ])
  expect(await contents(to)).toEqual(await contents(from))
})
