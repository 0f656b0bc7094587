import { readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { array, assert, asyncProperty, integer, record } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NotFoundError, UnavailableError } from '../base/errors.ts'
import { describeObjectStore } from '../testing/object-store-conformance.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { CachedObjects, type DistantObjects } from './cached-objects.ts'
import { MemoryObjectStore } from './memory-objects.ts'
import { ObjectCache } from './object-cache.ts'
import { type ObjectKey, parseObjectKey } from './object-store.ts'

const mib = 1024 * 1024
const key = parseObjectKey

/** Notes what is asked of it. */
class Distant extends MemoryObjectStore implements DistantObjects {
  readonly reads: { readonly offset: number; readonly length: number }[] = []
  failure: Error | undefined

  isLocal(): boolean {
    return false
  }

  override async get(from: ObjectKey, offset: number, length: number): Promise<Uint8Array> {
    this.reads.push({ offset, length })
    if (this.failure !== undefined) throw this.failure
    return await super.get(from, offset, length)
  }
}

interface World extends AsyncDisposable {
  readonly distant: Distant
  readonly cache: ObjectCache
  readonly objects: CachedObjects
  readonly directory: string
}

async function openWorld(
  options: {
    readonly bytesMax?: number
    readonly freeBytes?: () => Promise<number>
    readonly directory?: string
    readonly distant?: Distant
  } = {},
): Promise<World> {
  await using opened = new AsyncDisposableStack()
  const directory = options.directory ?? opened.use(await TemporaryDirectory.create()).path
  const cache = opened.use(
    await ObjectCache.open(directory, options.bytesMax ?? 64 * mib, options.freeBytes),
  )
  const distant = options.distant ?? new Distant()
  const objects = new CachedObjects(distant, cache)
  const parts = opened.move()
  return {
    distant,
    cache,
    objects,
    directory,
    [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose](),
  }
}

async function diskBytes(directory: string): Promise<number> {
  let sum = 0
  const seen = new Set<number>()
  for (const name of await readdir(directory)) {
    const found = await stat(join(directory, name)).catch(() => undefined)
    if (found === undefined || seen.has(found.ino)) continue
    seen.add(found.ino)
    sum += found.blocks * 512
  }
  return sum
}

describeObjectStore('cached', () => openWorld())
describeObjectStore('cached, with no room for it', () => openWorld({ bytesMax: 0 }))

describe('a cache of objects', () => {
  test('gives what the store would, whatever was read before and however little room there is', async () => {
    const names = ['a', 'b', 'c'].map(key)
    const range = record({
      which: integer({ min: 0, max: 2 }),
      offset: integer({ min: 0, max: 6 * mib }),
      length: integer({ min: 0, max: 3 * mib }),
    })
    const sizes = [5 * mib, 2 * mib + 17, 100]
    const bytes = sizes.map((size, at) => seededBytes(at, size))
    await assert(
      asyncProperty(array(range, { minLength: 1, maxLength: 12 }), async (ranges) => {
        await using world = await openWorld({ bytesMax: 6 * mib })
        const { distant, objects, cache } = world
        for (const [at, name] of names.entries()) {
          await distant.putIfAbsent(name, [bytes[at] ?? new Uint8Array(0)])
        }
        await Promise.all(
          ranges.map(async ({ which, offset, length }) => {
            const read = await objects.get(names[which] ?? key('a'), offset, length)
            const wanted = bytes[which]?.subarray(offset, offset + length) ?? new Uint8Array(0)
            expect(Buffer.compare(read, wanted)).toBe(0)
          }),
        )
        expect(cache.heldBytes).toBeLessThanOrEqual(6 * mib)
      }),
      { numRuns: 30 },
    )
  })

  test('fetches a block once, for however many readers', async () => {
    await using world = await openWorld()
    const { distant, objects } = world
    await distant.putIfAbsent(key('a'), [seededBytes(1, 3 * mib)])
    await Promise.all(
      Array.from({ length: 30 }, (_, at) => objects.get(key('a'), at * 100_000, 1000)),
    )
    await objects.get(key('a'), 0, 3 * mib)
    const fetched = distant.reads.reduce((sum, { length }) => sum + length, 0)
    expect(fetched).toBe(3 * mib)
  })

  test('never takes more room than it may, and lets go of what was read longest ago', async () => {
    await using world = await openWorld({ bytesMax: 4 * mib })
    const { distant, objects, cache, directory } = world
    const names = Array.from({ length: 10 }, (_, at) => key(`object-${at}`))
    for (const name of names) await distant.putIfAbsent(name, [seededBytes(1, mib)])
    for (const name of names) {
      await objects.get(name, 0, 1)
      await objects.get(key('object-0'), 0, 1)
      expect(cache.heldBytes).toBeLessThanOrEqual(4 * mib)
    }
    // The first was read again and again, and so was fetched once.
    expect(distant.reads).toHaveLength(10)
    await objects.get(key('object-1'), 0, 1)
    expect(distant.reads).toHaveLength(11)
    await cache[Symbol.asyncDispose]()
    expect(await diskBytes(directory)).toBeLessThanOrEqual(4 * mib + 64 * 1024)
  })

  test('keeps whole objects over a restart, and nothing of others', async () => {
    await using directory = await TemporaryDirectory.create()
    const distant = new Distant()
    const bytes = seededBytes(1, 2 * mib + 5)
    await distant.putIfAbsent(key('packs/whole'), [bytes])
    await distant.putIfAbsent(key('packs/part'), [bytes])
    {
      await using world = await openWorld({ directory: directory.path, distant })
      await world.objects.get(key('packs/whole'), 0, bytes.length + 1)
      await world.objects.get(key('packs/part'), 0, 1)
    }
    distant.reads.length = 0
    await using world = await openWorld({ directory: directory.path, distant })
    expect(world.cache.heldBytes).toBe(bytes.length)
    const read = await world.objects.get(key('packs/whole'), 5, bytes.length)
    expect(Buffer.compare(read, bytes.subarray(5))).toBe(0)
    expect(distant.reads).toEqual([])
    await world.objects.get(key('packs/part'), 0, 1)
    expect(distant.reads).toHaveLength(1)
  })

  test('takes over a file as it is', async () => {
    await using world = await openWorld()
    const { cache, objects, distant } = world
    await cache.adopt(key('packs/a'), 5, (path) => writeFile(path, 'bytes'))
    expect(Buffer.from(await objects.get(key('packs/a'), 1, 9)).toString()).toBe('ytes')
    expect(distant.reads).toEqual([])
  })

  test('forgets what is deleted, and what is to be read anew', async () => {
    await using world = await openWorld()
    const { objects, distant } = world
    await distant.putIfAbsent(key('a'), [seededBytes(1, 100)])
    await objects.get(key('a'), 0, 1)
    await objects.refresh(key('a'))
    await objects.get(key('a'), 0, 1)
    expect(distant.reads).toHaveLength(2)
    await objects.delete(key('a'))
    await expect(objects.get(key('a'), 0, 1)).rejects.toThrow(NotFoundError)
  })

  test('reads elsewhere what somebody has taken from it, or cut short', async () => {
    await using world = await openWorld()
    const { objects, distant, directory } = world
    const bytes = seededBytes(1, 2 * mib)
    for (const harm of [(path: string) => rm(path), (path: string) => truncate(path, 10)]) {
      await distant.putIfAbsent(key('a'), [bytes])
      await objects.get(key('a'), 0, bytes.length)
      for (const name of await readdir(directory)) await harm(join(directory, name))
      await objects.refresh(key('other')) // closes nothing of `a`
      const read = await objects.get(key('a'), 0, bytes.length)
      expect(Buffer.compare(read, bytes)).toBe(0)
    }
  })

  test('makes room when the disk is nearly full, and keeps nothing when that is not enough', async () => {
    let freeMib = 2000
    await using world = await openWorld({ freeBytes: () => Promise.resolve(freeMib * mib) })
    const { objects, distant, cache } = world
    for (const name of ['a', 'b', 'c', 'd']) {
      await distant.putIfAbsent(key(name), [seededBytes(1, 2 * mib)])
      await objects.get(key(name), 0, 2 * mib)
    }
    expect(cache.heldBytes).toBe(8 * mib)
    freeMib = 1024 - 3
    await distant.putIfAbsent(key('e'), [seededBytes(1, mib)])
    expect(await objects.get(key('e'), 0, mib)).toHaveLength(mib)
    expect(cache.heldBytes).toBe(5 * mib)
    freeMib = 0
    expect(await objects.get(key('a'), 0, mib)).toHaveLength(mib)
    await cache.adopt(key('f'), 5, (path) => writeFile(path, 'bytes'))
    expect(cache.heldBytes).toBe(0)
  })

  test('hands on what the store fails with, and keeps what it has', async () => {
    await using world = await openWorld()
    const { objects, distant } = world
    await distant.putIfAbsent(key('a'), [seededBytes(1, 3 * mib)])
    await objects.get(key('a'), 0, 1)
    distant.failure = new UnavailableError('no route')
    await expect(objects.get(key('a'), 2 * mib, 1)).rejects.toThrow('no route')
    expect(await objects.get(key('a'), 0, 1)).toHaveLength(1)
  })
})
