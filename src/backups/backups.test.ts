import { mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { openSqlite } from '../database/sqlite.ts'
import { openChunkStore } from '../storage/chunk-store.ts'
import { Collector } from '../storage/collector.ts'
import { LocalObjectStore } from '../storage/local-objects.ts'
import { parseObjectKey } from '../storage/object-store.ts'
import {
  backedUpTables,
  type BackedUpStore,
  openAgain,
  openBackedUpStore,
} from '../testing/backup-store.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { isContentKey, snapshotKey, type SnapshotName } from './format.ts'
import { Restore } from './restoring.ts'
import { forgetSnapshots, newest } from './retention.ts'
import { parseKey, parsePassphrase, secretInFile } from './sealing.ts'

const clock = new SystemClock()
const pause = (): undefined => undefined

/** Puts a chunk and a row that names it; resolves when both are durable. */
async function note(
  { store, database }: BackedUpStore,
  number: number,
  sizeBytes = 20_000,
): Promise<void> {
  using _ = store.leases.begin()
  const chunk = await store.put(seededBytes(number, sizeBytes))
  await store.flush()
  await database.transact((tx) =>
    tx.run('INSERT INTO notes (number, chunk) VALUES (?, ?)', number, chunk),
  )
}

interface Target extends AsyncDisposable {
  readonly root: string
  restore(from: BackedUpStore, backup?: BackedUpStore['backup']): Promise<void>
  /** The numbers of all rows, each of whose chunks is there. */
  notes(): Promise<readonly number[]>
}

async function openTarget(): Promise<Target> {
  const directory = await TemporaryDirectory.create()
  const root = directory.path
  return {
    root,
    async restore(from, backup = from.backup) {
      await using objects = await LocalObjectStore.open(join(root, 'objects'))
      const name = await backup.find('')
      const ports = {
        objects,
        directory: join(root, 'restore'),
        restored: join(root, 'metadata.db'),
        migrations: backedUpTables,
        storeId: 'f'.repeat(32),
        release: 'test',
        clock,
      }
      await using restore = await Restore.begin(ports, {
        name,
        bytes: await backup.read(snapshotKey(name)),
      })
      for (const key of (await restore.missing()).keys) {
        await restore.put(key, await backup.read(key))
      }
      await restore.complete()
    },
    async notes() {
      await using objects = await LocalObjectStore.open(join(root, 'objects'))
      await using database = await openSqlite({
        path: join(root, 'metadata.db'),
        migrations: backedUpTables,
        clock,
        store: { id: 'f'.repeat(32), isNew: false },
      })
      const scratchDirectory = join(root, 'scratch')
      await using chunks = await openChunkStore({ objects, database, scratchDirectory })
      const rows = await database.read((tx) =>
        tx.all<{ readonly number: number; readonly chunk: string }>(
          'SELECT number, chunk FROM notes ORDER BY number',
        ),
      )
      for (const { number, chunk } of rows) {
        const bytes = await chunks.get(chunk as Parameters<typeof chunks.get>[0])
        expect(Buffer.from(bytes).equals(seededBytes(number, 20_000))).toBe(true)
      }
      return rows.map(({ number }) => number)
    },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}

test('a backup under writes is of one instant: what it has follows without a gap', async () => {
  await using store = await openBackedUpStore()
  await note(store, 0)
  const over = new AbortController()
  let durable = 0
  const writing = (async () => {
    for (let number = 1; !over.signal.aborted; number += 1) {
      await note(store, number)
      durable = number
    }
  })()
  let before = 0
  for (let round = 0; round < 4; round += 1) {
    before = durable
    await store.take()
  }
  over.abort()
  await writing
  await using target = await openTarget()
  await target.restore(store)
  const notes = await target.notes()
  expect(notes).toEqual(notes.map((_, index) => index))
  expect(before).toBeGreaterThan(0)
  expect(notes.length).toBeGreaterThan(before)
  expect(notes.length).toBeLessThanOrEqual(durable + 1)
  expect(await store.damage()).toEqual([])
})

test('what is known of places outside of the store is not restored', async () => {
  await using store = await openBackedUpStore()
  await note(store, 0)
  await store.database.transact((tx) => tx.run("INSERT INTO sights (place) VALUES ('there')"))
  await store.take()
  await using target = await openTarget()
  await target.restore(store)
  expect(await target.notes()).toEqual([0])
  await using restored = await openSqlite({
    path: join(target.root, 'metadata.db'),
    migrations: backedUpTables,
    clock,
  })
  expect(await restored.read((tx) => tx.all('SELECT place FROM sights'))).toEqual([])
})

test('a second backup writes what has changed, and shares the rest', async () => {
  await using store = await openBackedUpStore()
  for (let number = 0; number < 200; number += 1) await note(store, number)
  const first = await store.take()
  const again = await store.take()
  expect(first.bytesWritten).toBeGreaterThan(200 * 20_000)
  // The snapshot itself; nothing has changed.
  expect(again.objectsWritten).toBe(1)
  await note(store, 200)
  const third = await store.take()
  // Its pack, the pieces of metadata that have changed, and the snapshot.
  expect(third.objectsWritten).toBe(3)
  expect(third.bytesWritten).toBeLessThan(first.bytesWritten / 10)
  await using target = await openTarget()
  await target.restore(store)
  expect((await target.notes()).length).toBe(201)
})

test('garbage that a collection finds during a backup stays until the backup has ended', async () => {
  await using store = await openBackedUpStore()
  for (let number = 0; number < 3; number += 1) await note(store, number)
  const noRoots = { async *collectionRoots() {} }
  const collector = new Collector({
    store: store.store,
    sources: [noRoots],
    clock,
    graceMs: 0,
  })
  const { signal } = new AbortController()
  const collected: number[] = []
  let collecting: Promise<void> | undefined
  const taken = await store.take({
    onProgress: () => {
      // Everything is garbage now, which the snapshot does not know.
      collecting ??= collector.collect({ signal }).then(({ packsDeleted }) => {
        collected.push(packsDeleted)
      })
    },
  })
  await collecting
  expect(collected).toEqual([0])
  expect(taken.snapshot.packs.length).toBe(3)
  expect(await store.damage()).toEqual([])
  expect(await collector.collect({ signal })).toMatchObject({ packsDeleted: 3 })
})

test.each([
  ['plain', undefined],
  ['sealed', parseKey('ab'.repeat(32))],
] as const)('each bit that changes in a %s backup is found and named', async (kind, secret) => {
  await using store = await openBackedUpStore(secret)
  for (let number = 0; number < 3; number += 1) await note(store, number)
  await store.take()
  expect(await store.damage()).toEqual([])
  const keys: string[] = []
  for await (const { key } of store.objectsOfBackup.list('')) keys.push(key)
  expect(new Set(keys.map((key) => key.split('/')[0]))).toEqual(
    new Set(['backup', 'metadata', 'packs', 'snapshots']),
  )
  for (const text of keys.filter((key) => key !== 'backup')) {
    for await (const at of changedBits(store, text)) {
      const damage = await store.damage()
      expect(
        damage.map(({ key: found }) => found),
        `${kind} ${text} at ${at}`,
      ).toContain(text)
      await using target = await openTarget()
      await expect(target.restore(store)).rejects.toThrow(/damaged|not those/)
      expect(await readdir(target.root)).not.toContain('metadata.db')
    }
  }
  expect(await store.damage()).toEqual([])
})

test('each bit that changes in what describes a backup is found', async () => {
  const secret = parseKey('ab'.repeat(32))
  await using store = await openBackedUpStore(secret)
  for await (const at of changedBits(store, 'backup')) {
    await expect(openAgain(store, secret), `at ${at}`).rejects.toThrow(/backup is damaged/)
  }
  expect((await openAgain(store, secret)).id).toBe(store.backup.id)
})

/** Changes one bit of an object after another, and puts it back. */
async function* changedBits(store: BackedUpStore, text: string): AsyncGenerator<number> {
  const key = parseObjectKey(text)
  const size = await store.objectsOfBackup.sizeBytes(key)
  const whole = Buffer.from(await store.objectsOfBackup.get(key, 0, size))
  const places = [0, 9, 14, size - 1, size - 20, size >>> 1, ...seededBytes(size, 8)]
  for (const place of places) {
    const changed = Buffer.from(whole)
    const at = place % size
    changed[at] = (changed[at] ?? 0) ^ (1 << (place % 8))
    await store.objectsOfBackup.delete(key)
    await store.objectsOfBackup.putIfAbsent(key, [changed])
    yield at
  }
  await store.objectsOfBackup.delete(key)
  await store.objectsOfBackup.putIfAbsent(key, [whole])
}

test('a sealed object that is cut short, lengthened or given another name is found', async () => {
  await using store = await openBackedUpStore(parseKey('cd'.repeat(32)))
  for (let number = 0; number < 2; number += 1) await note(store, number, 200_000)
  await store.take()
  const packs: string[] = []
  for await (const { key } of store.objectsOfBackup.list('packs/')) packs.push(key)
  const [first = '', second = ''] = packs
  const read = async (text: string): Promise<Buffer> => {
    const key = parseObjectKey(text)
    const size = await store.objectsOfBackup.sizeBytes(key)
    return Buffer.from(await store.objectsOfBackup.get(key, 0, size))
  }
  const whole = await read(first)
  const others = [
    whole.subarray(0, -1),
    whole.subarray(0, 44 + 65_552),
    Buffer.concat([whole, Buffer.alloc(16)]),
    await read(second),
  ]
  for (const bytes of others) {
    await store.objectsOfBackup.delete(parseObjectKey(first))
    await store.objectsOfBackup.putIfAbsent(parseObjectKey(first), [bytes])
    expect((await store.damage()).map(({ key }) => key)).toEqual([first])
  }
})

test('the file of a secret is named, when it holds none and when it holds another one', async () => {
  expect(() => secretInFile('key', '/keys/one', 'abc')).toThrow('/keys/one: a key file holds')
  expect(() => secretInFile('passphrase', '/keys/two', '')).toThrow('/keys/two: a passphrase is')
  await using store = await openBackedUpStore(parseKey('cd'.repeat(32)))
  const other = secretInFile('key', '/keys/one', 'ab'.repeat(32))
  await expect(openAgain(store, other)).rejects.toThrow(
    'the key in /keys/one does not open the backup',
  )
})

test('a passphrase opens what it was made with, and nothing else does', async () => {
  await using store = await openBackedUpStore(parsePassphrase('correct horse\n'))
  await note(store, 1)
  await store.take()
  const again = await openAgain(store, parsePassphrase('correct horse'))
  await using target = await openTarget()
  await target.restore(store, again)
  expect(await target.notes()).toEqual([1])
  await expect(openAgain(store, parsePassphrase('wrong horse'))).rejects.toThrow(
    /does not open the backup/,
  )
  await expect(openAgain(store, parseKey('ab'.repeat(32)))).rejects.toThrow(/by a passphrase/)
  await expect(openAgain(store)).rejects.toThrow(/give the passphrase/)
})

test('what was stored damaged is told, and no backup is made of it unless that is asked for', async () => {
  await using store = await openBackedUpStore()
  for (let number = 0; number < 3; number += 1) await note(store, number)
  const [pack] = store.store.packs.all()
  const key = parseObjectKey(`packs/${pack?.name.slice(0, 2)}/${pack?.name}`)
  const bytes = Buffer.from(await store.objects.get(key, 0, pack?.sizeBytes ?? 0))
  bytes[100] = (bytes[100] ?? 0) ^ 1
  await store.objects.delete(key)
  await store.objects.putIfAbsent(key, [bytes])
  await store.objects.refresh(key)
  const told: string[] = []
  const onDamage = (what: string): void => void told.push(what)
  await expect(store.take({ onDamage })).rejects.toThrow(/--skip-damaged/)
  expect(told).toEqual([expect.stringContaining(pack?.name ?? '')])
  expect(await store.backup.snapshots()).toEqual([])
  const { snapshot } = await store.take({ skipsDamaged: true })
  expect(snapshot.damaged).toEqual([pack?.name])
  expect((await store.damage()).map((found) => found.key)).toEqual([key])
})

test('old snapshots go with what only they had, and never the only good one', async () => {
  await using store = await openBackedUpStore()
  for (let number = 0; number < 4; number += 1) {
    await note(store, number)
    await store.take()
  }
  const names = await store.backup.snapshots()
  // To another store, such as one that was begun anew after a loss, they are what it may be restored from.
  const another = { store: 'f'.repeat(32), pause }
  expect((await forgetSnapshots(store.backup, newest(1), another)).names).toEqual([])
  expect(await store.backup.snapshots()).toEqual(names)
  const own = (await store.backup.snapshot(names[0] as SnapshotName)).store
  const { names: forgotten, objectsRemoved } = await forgetSnapshots(store.backup, newest(2), {
    store: own,
    pause,
  })
  expect(forgotten).toEqual(names.slice(0, 2))
  expect(objectsRemoved).toBeGreaterThan(0)
  expect(await store.damage()).toEqual([])
  // Of the newest, something is lost: then the one before it is the only good one, and stays.
  const lost =
    (await store.backup.snapshot(names[3] as SnapshotName)).metadata?.packs.at(-1)?.name ?? ''
  await store.backup.remove(`metadata/${lost.slice(0, 2)}/${lost}`)
  await forgetSnapshots(store.backup, newest(1), { pause })
  expect(await store.backup.snapshots()).toContain(names[2])
})

test('a restore that was stopped goes on with what is missing, and shows nothing before its end', async () => {
  await using store = await openBackedUpStore()
  for (let number = 0; number < 6; number += 1) await note(store, number)
  await store.take()
  await using target = await openTarget()
  await mkdir(join(target.root, 'objects'), { recursive: true })
  const name = await store.backup.find('')
  const bytes = await store.backup.read(snapshotKey(name))
  let sent = 0
  for (;;) {
    await using objects = await LocalObjectStore.open(join(target.root, 'objects'))
    const ports = {
      objects,
      directory: join(target.root, 'restore'),
      restored: join(target.root, 'metadata.db'),
      migrations: backedUpTables,
      storeId: 'f'.repeat(32),
      release: 'test',
      clock,
    }
    await using restore = await Restore.begin(ports, { name, bytes })
    const { keys, totalCount } = await restore.missing()
    expect(keys.length).toBe(totalCount - sent)
    const [next] = keys
    if (next === undefined) {
      await restore.complete()
      break
    }
    await expect(restore.complete()).rejects.toThrow(/have not come yet/)
    await expect(stat(ports.restored)).rejects.toThrow(/ENOENT/)
    await restore.put(next, await store.backup.read(next))
    sent += 1
  }
  expect((await target.notes()).length).toBe(6)
})

test('damaged packs that were put among the others give way to whole ones, should the restore not have ended', async () => {
  await using store = await openBackedUpStore()
  for (let number = 0; number < 3; number += 1) await note(store, number)
  await store.take()
  await using target = await openTarget()
  await using objects = await LocalObjectStore.open(join(target.root, 'objects'))
  const ports = {
    objects,
    directory: join(target.root, 'restore'),
    // As if the process ended at the last step.
    restored: join(target.root, 'nowhere', 'metadata.db'),
    migrations: backedUpTables,
    storeId: 'f'.repeat(32),
    release: 'test',
    clock,
  }
  const name = await store.backup.find('')
  const bytes = await store.backup.read(snapshotKey(name))
  const damaged: string[] = []
  {
    await using restore = await Restore.begin(ports, { name, bytes, skipsDamaged: true })
    for (const key of (await restore.missing()).keys) {
      const object = Uint8Array.from(await store.backup.read(key))
      if (isContentKey(key)) object[100] = (object[100] ?? 0) ^ 1
      if ((await restore.put(key, object)) !== undefined) damaged.push(key)
    }
    expect(damaged).toHaveLength(3)
    await expect(restore.complete()).rejects.toThrow(/ENOENT/)
  }
  for (const key of damaged) expect(await objects.sizeBytes(parseObjectKey(key))).toBeGreaterThan(0)
  {
    await using restore = await Restore.begin(ports, { name, bytes })
    expect((await restore.missing()).keys).toEqual(damaged)
    await expect(restore.complete()).rejects.toThrow(/have not come yet/)
  }
  await target.restore(store)
  expect(await target.notes()).toEqual([0, 1, 2])
})
