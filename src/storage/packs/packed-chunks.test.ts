import { readFile, readdir, rename, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { DataLossError, DiskFullError, ResourceExhaustedError } from '../../base/errors.ts'
import { openPackedStore } from '../../testing/packed-store.ts'
import { seededBytes } from '../../testing/seeded-random.ts'
import { TemporaryDirectory } from '../../testing/temporary-directory.ts'
import type { ChunkId } from '../chunks.ts'
import type { ObjectStore } from '../object-store.ts'

async function packKeys(objects: ObjectStore): Promise<readonly string[]> {
  return (await Array.fromAsync(objects.list('packs/'))).map(({ key }) => key)
}

describe('chunks in packs', () => {
  test('a chunk that is stored already is not stored again, in the same pack or another', async () => {
    await using parts = await openPackedStore()
    const bytes = seededBytes(1, 300_000)
    await Promise.all([parts.store.put(bytes), parts.store.put(bytes)])
    await parts.store.put(bytes)
    await parts.store.flush()
    await parts.store.put(bytes)
    await parts.store.flush()
    const [pack, another] = await Array.fromAsync(parts.objects.list(''))
    expect(another).toBeUndefined()
    expect(pack?.sizeBytes).toBeLessThan(301_000)
  })

  test('flushes that wait at the same time share a pack', async () => {
    await using parts = await openPackedStore()
    await Promise.all(
      Array.from({ length: 50 }, async (_, seed) => {
        await parts.store.put(seededBytes(seed, 1000))
        await parts.store.flush()
      }),
    )
    expect((await packKeys(parts.objects)).length).toBeLessThanOrEqual(3)
  })

  test('a flush with nothing to store stores nothing', async () => {
    await using parts = await openPackedStore()
    await parts.store.flush()
    expect(await packKeys(parts.objects)).toEqual([])
    expect(await readdir(join(parts.directory, 'scratch'))).toEqual([])
  })

  test('a pack that is full is sealed, and all its chunks stay readable, also after reopening', async () => {
    await using directory = await TemporaryDirectory.create()
    const ids: ChunkId[] = []
    const sizes = [1000, 700_000, 3_000_000, 50_000]
    {
      await using parts = await openPackedStore({ directory: directory.path })
      for (let seed = 0; seed < 80; seed += 1) {
        ids.push(await parts.store.put(seededBytes(seed, sizes[seed % 4] ?? 0)))
      }
      await parts.store.flush()
      expect((await packKeys(parts.objects)).length).toBeGreaterThan(1)
    }
    await using parts = await openPackedStore({ directory: directory.path })
    for (const [seed, id] of ids.entries()) {
      const bytes = seededBytes(seed, sizes[seed % 4] ?? 0)
      expect(Buffer.compare(await parts.store.get(id), bytes)).toBe(0)
    }
  })

  test('chunks beyond the bound of the table in memory are still found', async () => {
    await using directory = await TemporaryDirectory.create()
    const bounds = { locatedChunksMax: 100, cacheBytes: 0, indexCacheBytes: 0 }
    const ids: ChunkId[] = []
    {
      await using parts = await openPackedStore({ directory: directory.path, ...bounds })
      for (let seed = 0; seed < 300; seed += 1) {
        ids.push(await parts.store.put(seededBytes(seed, 200)))
        if (seed % 70 === 0) await parts.store.flush()
      }
    }
    await using parts = await openPackedStore({ directory: directory.path, ...bounds })
    for (const [seed, id] of ids.entries()) {
      expect(Buffer.compare(await parts.store.get(id), seededBytes(seed, 200))).toBe(0)
    }
  })

  test('a text takes less room than it is long, and noise hardly more', async () => {
    for (const [bytes, bound] of [
      [Buffer.alloc(2_000_000, 'as it was written, so it is; '), 20_000],
      [seededBytes(1, 2_000_000), 2_000_500],
    ] as const) {
      await using parts = await openPackedStore()
      await parts.store.put(bytes)
      await parts.store.flush()
      const [pack] = await Array.fromAsync(parts.objects.list(''))
      expect(pack?.sizeBytes).toBeLessThan(bound)
    }
  })

  test('damage to a stored chunk is reported with its pack, offset and id, and others are not hurt', async () => {
    for (const bytes of [
      seededBytes(1, 5000),
      seededBytes(2, 500_000),
      Buffer.alloc(99_999, 'abc'),
    ]) {
      await using directory = await TemporaryDirectory.create()
      {
        await using parts = await openPackedStore({ directory: directory.path })
        await parts.store.put(bytes)
        await parts.store.put(seededBytes(3, 1000))
      }
      await using parts = await openPackedStore({ directory: directory.path })
      const [key = ''] = await packKeys(parts.objects)
      const path = join(parts.directory, 'objects', key)
      const pack = await readFile(path)
      pack[20] = (pack[20] ?? 0) ^ 1
      await writeFile(path, pack)
      const id = await parts.store.put(bytes)
      const name = key.split('/').at(-1) ?? ''
      await expect(parts.store.get(id)).rejects.toThrow(DataLossError)
      await expect(parts.store.get(id)).rejects.toThrow(`chunk ${id} at offset 16 of pack ${name}`)
      const other = await parts.store.put(seededBytes(3, 1000))
      expect((await parts.store.get(other)).length).toBe(1000)
    }
  })

  test.each([
    ['a chunk', () => 20],
    ['the index', (size: number) => size - 64 - 32 - 40],
  ])('a pack in which %s was damaged can be put back while it is open', async (_what, where) => {
    await using directory = await TemporaryDirectory.create()
    let id: ChunkId
    {
      await using parts = await openPackedStore({ directory: directory.path })
      id = await parts.store.put(seededBytes(1, 5000))
    }
    await using parts = await openPackedStore({ directory: directory.path, cacheBytes: 0 })
    const [key = ''] = await packKeys(parts.objects)
    const path = join(parts.directory, 'objects', key)
    const good = await readFile(path)
    /** As another file under the same name. */
    const exchange = async (bytes: Uint8Array): Promise<void> => {
      await writeFile(`${directory.path}/draft`, bytes)
      await rename(`${directory.path}/draft`, path)
    }
    const bad = Buffer.from(good)
    const at = where(good.length)
    bad[at] = (bad[at] ?? 0) ^ 1
    await exchange(bad)
    await expect(parts.store.get(id)).rejects.toThrow(DataLossError)
    await exchange(good)
    expect(await parts.store.get(id)).toHaveLength(5000)
  })

  test('a lost pack is reported as lost data', async () => {
    await using directory = await TemporaryDirectory.create()
    const ids: ChunkId[] = []
    {
      await using parts = await openPackedStore({ directory: directory.path })
      ids.push(await parts.store.put(seededBytes(1, 1000)))
    }
    await using parts = await openPackedStore({ directory: directory.path })
    for await (const { key } of parts.objects.list('packs/')) await parts.objects.delete(key)
    await expect(parts.store.get(ids[0] as ChunkId)).rejects.toThrow(DataLossError)
  })

  test('a pack that was cut short is named', async () => {
    await using directory = await TemporaryDirectory.create()
    let id: ChunkId
    {
      await using parts = await openPackedStore({ directory: directory.path })
      id = await parts.store.put(seededBytes(1, 1000))
    }
    await using parts = await openPackedStore({ directory: directory.path })
    const [key = ''] = await packKeys(parts.objects)
    await truncate(join(parts.directory, 'objects', key), 500)
    const name = key.split('/').at(-1) ?? ''
    const call = parts.store.get(id)
    await expect(call).rejects.toThrow(DataLossError)
    await expect(call).rejects.toThrow(`lost, cut short or damaged: ${name}`)
  })
})

/** A store on a disk that is full when `disk.isFull`. */
async function openOnSmallDisk(): Promise<{
  readonly parts: Awaited<ReturnType<typeof openPackedStore>>
  readonly disk: { isFull: boolean }
}> {
  const disk = { isFull: false }
  const parts = await openPackedStore({
    faultPoint: (step) => {
      if (!disk.isFull || step !== 'pack: write') return
      throw Object.assign(new Error('full'), { code: 'ENOSPC' })
    },
  })
  return { parts, disk }
}

async function scratchNames(directory: string): Promise<readonly string[]> {
  return await readdir(join(directory, 'scratch'))
}

describe('a chunk store on a full disk', () => {
  test('gives the room back when those have ended who put there, and not before', async () => {
    const { parts, disk } = await openOnSmallDisk()
    await using _ = parts
    const { store, directory } = parts
    const before = store.leases.begin()
    const small = seededBytes(1, 1000)
    const id = await store.put(small)
    await store.put(seededBytes(2, 500_000)) // on the disk
    const failing = store.leases.begin()
    disk.isFull = true
    await expect(store.put(seededBytes(3, 500_000))).rejects.toThrow(DiskFullError)
    failing[Symbol.dispose]()
    expect(Buffer.compare(await store.get(id), small)).toBe(0)
    expect(await scratchNames(directory)).toEqual(['1.pack'])
    before[Symbol.dispose]()
    await vi.waitFor(async () => expect(await scratchNames(directory)).toEqual([]), {
      timeout: 60_000,
    })
    await expect(store.get(id)).resolves.toHaveLength(1000) // still in memory
    disk.isFull = false
    await store.flush()
    expect(await packKeys(parts.objects)).toEqual([])
  })

  test('stores again what is given up, for whoever comes later', async () => {
    const { parts, disk } = await openOnSmallDisk()
    await using _ = parts
    const { store } = parts
    const failing = store.leases.begin()
    const bytes = seededBytes(1, 500_000)
    const id = await store.put(bytes)
    disk.isFull = true
    await expect(store.put(seededBytes(2, 500_000))).rejects.toThrow(DiskFullError)
    disk.isFull = false
    using later = store.leases.begin()
    expect(await store.put(bytes)).toBe(id)
    failing[Symbol.dispose]()
    await vi.waitFor(async () => expect(await scratchNames(parts.directory)).toEqual(['2.pack']), {
      timeout: 60_000,
    })
    expect(Buffer.compare(await store.get(id), bytes)).toBe(0)
    await store.flush()
    expect(Buffer.compare(await store.get(id), bytes)).toBe(0)
    expect(await store.packs.place(id)).not.toBe('draft')
    expect(later).toBeDefined()
  })
})

describe('a chunk store that cannot write', () => {
  test('refuses puts and flushes while the disk is full, and loses nothing once it is not', async () => {
    const { parts, disk } = await openOnSmallDisk()
    await using _ = parts
    using lease = parts.store.leases.begin()
    expect(lease).toBeDefined()
    const small = seededBytes(1, 1000)
    const large = seededBytes(2, 500_000)
    const id = await parts.store.put(small)
    disk.isFull = true
    await expect(parts.store.put(large)).rejects.toThrow(
      `the disk of the data directory is full (at ${join(parts.directory, 'scratch')}): free some`,
    )
    await expect(parts.store.flush()).rejects.toThrow(ResourceExhaustedError)
    await expect(parts.store.flush()).rejects.toThrow(ResourceExhaustedError)
    expect(Buffer.compare(await parts.store.get(id), small)).toBe(0)
    disk.isFull = false
    const largeId = await parts.store.put(large)
    await parts.store.flush()
    expect(Buffer.compare(await parts.store.get(id), small)).toBe(0)
    expect(Buffer.compare(await parts.store.get(largeId), large)).toBe(0)
    expect(await readdir(join(parts.directory, 'scratch'))).toEqual([])
  })

  test('does not forget a pack that was stored but could not be listed', async () => {
    let isDown = true
    await using parts = await openPackedStore({
      faultPoint: (step) => {
        if (isDown && step === 'pack: stored') throw new Error('the database is away')
      },
    })
    const id = await parts.store.put(seededBytes(1, 1000))
    await expect(parts.store.flush()).rejects.toThrow('the database is away')
    expect((await parts.store.get(id)).length).toBe(1000)
    isDown = false
    await parts.store.flush()
    expect((await parts.store.get(id)).length).toBe(1000)
    const rows = await parts.database.read((tx) => tx.all('SELECT name FROM packs'))
    expect(rows).toHaveLength(1)
  })

  test('makes nothing durable any more when a sync failed that nobody waited for', async () => {
    let isFailing = true
    const parts = await openPackedStore({
      faultPoint: (step) => {
        if (isFailing && step === 'pack: sync') throw new Error('a bad sector')
      },
    })
    const ids: ChunkId[] = []
    for (let seed = 0; seed < 6; seed += 1) {
      ids.push(await parts.store.put(seededBytes(seed, 1024 * 1024)))
    }
    // A second sync may succeed although the bytes are gone.
    isFailing = false
    await expect(parts.store.flush()).rejects.toThrow('failed to sync')
    await expect(parts.store.flush()).rejects.toThrow('failed to sync')
    for (const id of ids) expect((await parts.store.get(id)).length).toBe(1024 * 1024)
    expect(await parts.database.read((tx) => tx.all('SELECT name FROM packs'))).toEqual([])
    await expect(parts[Symbol.asyncDispose]()).rejects.toThrow('failed to sync')
  })
})
