import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openPackedStore } from '../../testing/packed-store.ts'
import { seededBytes } from '../../testing/seeded-random.ts'
import { TemporaryDirectory } from '../../testing/temporary-directory.ts'
import type { ChunkId } from '../chunks.ts'
import { LocalObjectStore } from '../local-objects.ts'
import { parseObjectKey } from '../object-store.ts'
import { adoptPacks } from './adopt-packs.ts'

test('when the database is lost, every chunk is found again from the packs', async () => {
  await using first = await TemporaryDirectory.create()
  await using second = await TemporaryDirectory.create()
  await using objects = await LocalObjectStore.open(join(first.path, 'objects'))
  const ids: ChunkId[] = []
  {
    await using parts = await openPackedStore({ directory: first.path, objects })
    for (let seed = 0; seed < 500; seed += 1) {
      ids.push(await parts.store.put(seededBytes(seed, 3000)))
      if (seed % 100 === 0) await parts.store.flush()
    }
  }
  await using parts = await openPackedStore({ directory: second.path, objects })
  for (const [seed, id] of ids.entries()) {
    expect(Buffer.compare(await parts.store.get(id), seededBytes(seed, 3000))).toBe(0)
  }
  expect(await adoptPacks(objects, parts.database)).toEqual({ adoptedCount: 0, damaged: [] })
})

test('a damaged pack is told and not listed', async () => {
  await using directory = await TemporaryDirectory.create()
  await using objects = await LocalObjectStore.open(join(directory.path, 'objects'))
  {
    await using parts = await openPackedStore({ directory: directory.path, objects })
    await parts.store.put(seededBytes(1, 3000))
  }
  const [info] = await Array.fromAsync(objects.list('packs/'))
  const pack = Buffer.from(await objects.get(info?.key ?? parseObjectKey('none'), 0, 100_000))
  await using parts = await openPackedStore({ directory: directory.path, objects })
  const name = 'f'.repeat(64)
  for (const [damaged, message] of [
    [pack.subarray(0, 40), 'too short'],
    [pack.subarray(0, -1), 'does not end as a pack does'],
    [pack, 'under a wrong name'],
    [pack.subarray(1), 'has a size that its trailer does not tell'],
  ] as const) {
    await objects.delete(parseObjectKey(`packs/ff/${name}`))
    await writeFile(join(directory.path, 'whole'), damaged)
    await objects.putFileIfAbsent(parseObjectKey(`packs/ff/${name}`), join(directory.path, 'whole'))
    const { adoptedCount, damaged: errors } = await adoptPacks(objects, parts.database)
    expect(adoptedCount).toBe(0)
    expect(errors.map((error) => error.message)).toEqual([expect.stringContaining(message)])
  }
})

test('a pack that is listed stays, whatever rows say that it is to be deleted', async () => {
  await using directory = await TemporaryDirectory.create()
  const bytes = seededBytes(1, 3000)
  let id: ChunkId
  {
    await using parts = await openPackedStore({ directory: directory.path })
    id = await parts.store.put(bytes)
    await parts.store.flush()
    await parts.database.transact(async (tx) => {
      await tx.run(
        'INSERT INTO retired_packs (name, size_bytes) SELECT name, size_bytes FROM packs',
      )
    })
  }
  await using parts = await openPackedStore({ directory: directory.path })
  expect(Buffer.compare(await parts.store.get(id), bytes)).toBe(0)
  expect(await parts.database.read((tx) => tx.all('SELECT name FROM retired_packs'))).toEqual([])
})
