import { readdir, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { SystemClock } from '../base/clock.ts'
import { NotFoundError, UnavailableError } from '../base/errors.ts'
import { SystemRandom } from '../base/random.ts'
import { describeObjectStore } from '../testing/object-store-conformance.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { LocalObjectStore } from './local-objects.ts'
import { MemoryObjectStore } from './memory-objects.ts'
import { parseObjectKey } from './object-store.ts'
import { StagedObjects } from './staged-objects.ts'

const key = parseObjectKey

/** A bucket that fails, or waits, when it is told to. */
class Remote extends MemoryObjectStore implements Disposable {
  failure: Error | undefined
  gate: Promise<void> = Promise.resolve()
  readonly asked: string[] = []

  override async putFileIfAbsent(...args: Parameters<MemoryObjectStore['putFileIfAbsent']>) {
    this.asked.push(`put ${args[0]}`)
    await this.gate
    if (this.failure !== undefined) throw this.failure
    return await super.putFileIfAbsent(...args)
  }

  override sizeBytes(...args: Parameters<MemoryObjectStore['sizeBytes']>) {
    this.asked.push(`size ${args[0]}`)
    return super.sizeBytes(...args)
  }

  [Symbol.dispose](): void {
    // Nothing is under way for long.
  }
}

interface World extends AsyncDisposable {
  readonly remote: Remote
  readonly objects: StagedObjects
  readonly directory: string
  readonly troubles: (string | undefined)[]
}

async function openWorld(
  options: {
    readonly directory?: string
    readonly remote?: Remote
    readonly stagedBytesMax?: number
    readonly starts?: boolean
  } = {},
): Promise<World> {
  await using opened = new AsyncDisposableStack()
  const directory = options.directory ?? opened.use(await TemporaryDirectory.create()).path
  const remote = options.remote ?? new Remote()
  const staged = opened.use(await LocalObjectStore.open(`${directory}/objects`))
  const objects = opened.use(
    await StagedObjects.open({
      staged,
      remote,
      scratchDirectory: directory,
      stagedBytesMax: options.stagedBytesMax ?? 1_000_000,
      clock: new SystemClock(),
      random: new SystemRandom(),
      pauses: { pauseMs: 1, pauseMsMax: 1 },
    }),
  )
  const troubles: (string | undefined)[] = []
  if (options.starts !== false) {
    await objects.start({
      onUploaded: () => Promise.resolve(),
      onTrouble: (trouble) => troubles.push(trouble?.message),
    })
  }
  const parts = opened.move()
  return {
    remote,
    objects,
    directory,
    troubles,
    [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose](),
  }
}

describeObjectStore('staged, uploading', () => openWorld())
describeObjectStore('staged, and nothing is uploaded', () => openWorld({ starts: false }))

describe('objects that are staged', () => {
  test('are on the disk until the bucket has them, and then only there', async () => {
    await using world = await openWorld()
    const { remote, objects, directory } = world
    const open = Promise.withResolvers<void>()
    remote.gate = open.promise
    await objects.putIfAbsent(key('a'), [utf8('bytes')])
    expect(objects.isLocal(key('a'))).toBe(true)
    expect(await readdir(`${directory}/objects`)).toContain('a')
    expect(objects.waiting).toEqual({ count: 1, sizeBytes: 5 })
    open.resolve()
    await objects.uploaded()
    // The file goes right after the bucket counts as having it.
    await expect.poll(() => readdir(`${directory}/objects`)).not.toContain('a')
    expect(objects.isLocal(key('a'))).toBe(false)
    expect(objects.waiting).toEqual({ count: 0, sizeBytes: 0 })
    expect(await remote.sizeBytes(key('a'))).toBe(5)
    expect(Buffer.from(await objects.get(key('a'), 0, 10)).toString()).toBe('bytes')
  })

  test('are uploaded by whoever opens the directory next', async () => {
    await using directory = await TemporaryDirectory.create()
    const remote = new Remote()
    {
      await using world = await openWorld({ directory: directory.path, remote, starts: false })
      await world.objects.putIfAbsent(key('a'), [utf8('bytes')])
    }
    await using world = await openWorld({ directory: directory.path, remote })
    await world.objects.uploaded()
    expect(Buffer.from(await remote.get(key('a'), 0, 10)).toString()).toBe('bytes')
  })

  test('are put and read while the bucket cannot be reached, and uploaded when it can', async () => {
    await using world = await openWorld()
    const { remote, objects, troubles } = world
    remote.failure = new UnavailableError('no route')
    await objects.putIfAbsent(key('a'), [utf8('bytes')])
    await expect(objects.uploaded()).rejects.toThrow('no route')
    await objects.putIfAbsent(key('b'), [utf8('more')])
    expect(Buffer.from(await objects.get(key('a'), 0, 10)).toString()).toBe('bytes')
    remote.failure = undefined
    await expect.poll(() => objects.waiting.count).toBe(0)
    expect(await remote.sizeBytes(key('a'))).toBe(5)
    expect(await remote.sizeBytes(key('b'))).toBe(4)
    // Told when it begins and when it ends, not each time.
    expect(troubles).toEqual(['no route', undefined])
  })

  test('wait for uploads when there are too many, and say why when those fail', async () => {
    await using world = await openWorld({ stagedBytesMax: 10 })
    const { remote, objects } = world
    const open = Promise.withResolvers<void>()
    remote.gate = open.promise
    await objects.putIfAbsent(key('a'), [new Uint8Array(11)])
    let isStored = false
    const put = objects.putIfAbsent(key('b'), [new Uint8Array(11)]).then(() => (isStored = true))
    await objects.sizeBytes(key('a'))
    expect(isStored).toBe(false)
    open.resolve()
    await put
    await objects.uploaded()
    remote.failure = new UnavailableError('no route')
    await objects.putIfAbsent(key('c'), [new Uint8Array(11)])
    await expect(objects.putIfAbsent(key('d'), [new Uint8Array(1)])).rejects.toThrow(
      /11 bytes on the disk wait to be uploaded, and that fails: no route/,
    )
    await expect(objects.sizeBytes(key('d'))).rejects.toThrow(NotFoundError)
  })

  test('are gone from both places when they are deleted, even on their way', async () => {
    await using world = await openWorld()
    const { remote, objects } = world
    const open = Promise.withResolvers<void>()
    remote.gate = open.promise
    await objects.putIfAbsent(key('a'), [utf8('bytes')])
    await expect.poll(() => remote.asked).toEqual(['put a'])
    const deleted = objects.delete(key('a'))
    open.resolve()
    await deleted
    await expect(objects.sizeBytes(key('a'))).rejects.toThrow(NotFoundError)
    await expect(remote.sizeBytes(key('a'))).rejects.toThrow(NotFoundError)
    expect(await objects.putIfAbsent(key('a'), [utf8('newer')])).toBe(true)
    await objects.uploaded()
    expect(Buffer.from(await objects.get(key('a'), 0, 10)).toString()).toBe('newer')
  })

  test('are put without asking the bucket', async () => {
    await using world = await openWorld({ starts: false })
    await world.objects.putIfAbsent(key('a'), [utf8('bytes')])
    await world.objects.putIfAbsent(key('b'), [utf8('bytes')])
    expect(world.remote.asked).toEqual([])
  })

  test('are stored again when the bucket has lost them', async () => {
    await using world = await openWorld()
    const { remote, objects } = world
    await objects.putIfAbsent(key('a'), [utf8('bytes')])
    await objects.uploaded()
    await remote.delete(key('a'))
    expect(await objects.putIfAbsent(key('a'), [utf8('bytes')])).toBe(true)
    await objects.uploaded()
    expect(await remote.sizeBytes(key('a'))).toBe(5)
  })

  test('stay on the disk when the bucket has something else under their name', async () => {
    await using directory = await TemporaryDirectory.create()
    const remote = new Remote()
    await using world = await openWorld({ directory: directory.path, remote, starts: false })
    const { objects } = world
    await objects.putIfAbsent(key('a'), [utf8('bytes')])
    await remote.putIfAbsent(key('a'), [utf8('not ours')])
    await objects.start({ onUploaded: () => Promise.resolve(), onTrouble: () => undefined })
    await expect(objects.uploaded()).rejects.toThrow(/has 8 bytes instead of 5.*delete it/)
    expect(Buffer.from(await objects.get(key('a'), 0, 10)).toString()).toBe('bytes')
  })

  test('are listed once, in order, wherever they are', async () => {
    await using world = await openWorld({ starts: false })
    const { remote, objects } = world
    const names = ['b', 'd', 'e', 'g'].map(key)
    for (const name of names) await objects.putIfAbsent(name, [seededBytes(1, 3)])
    for (const name of ['a', 'd', 'f', 'g', 'h']) await remote.putIfAbsent(key(name), [utf8('xyz')])
    const listed = await Array.fromAsync(objects.list(''))
    expect(listed.map((info) => info.key).join('')).toBe('abdefgh')
  })

  test('leave nothing in the scratch directory', async () => {
    await using world = await openWorld()
    const path = `${world.directory}/file`
    await writeFile(path, 'bytes')
    await world.objects.putFileIfAbsent(key('a'), path)
    await world.objects.uploaded()
    expect(await readdir(world.directory)).toEqual(['objects'])
  })
})
