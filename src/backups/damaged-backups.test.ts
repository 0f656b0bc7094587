import { expect, test } from 'vitest'
import type { ObjectKey } from '../storage/object-store.ts'
import { type BackedUpStore, openBackedUpStore } from '../testing/backup-store.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { extract, type ExtractEvent, type KnownObjects } from './extraction.ts'
import type { SnapshotName } from './format.ts'
import { forgetSnapshots, newest } from './retention.ts'
import { parseKey } from './sealing.ts'
import { neededObjects } from './needed-objects.ts'
import { writeBackup } from './taking.ts'

const pause = (): undefined => undefined
const key = parseKey('5e'.repeat(32))

/** Puts a chunk of its own pack. */
async function put({ store }: BackedUpStore, number: number): Promise<void> {
  using _ = store.leases.begin()
  await store.put(seededBytes(number, 20_000))
  await store.flush()
}

async function keysOf({ backup }: BackedUpStore, prefix: string): Promise<readonly ObjectKey[]> {
  const keys: ObjectKey[] = []
  for await (const object of backup.list(prefix)) keys.push(object.key as ObjectKey)
  return keys
}

/** Exchanges the bytes of an object in the place of the backup. */
async function change(
  { objectsOfBackup }: BackedUpStore,
  name: ObjectKey,
  edit: (bytes: Uint8Array) => Uint8Array,
): Promise<void> {
  const bytes = await objectsOfBackup.get(name, 0, await objectsOfBackup.sizeBytes(name))
  await objectsOfBackup.delete(name)
  await objectsOfBackup.putIfAbsent(name, [edit(Uint8Array.from(bytes))])
}

const flip = (bytes: Uint8Array): Uint8Array => {
  bytes[100] = (bytes[100] ?? 0) ^ 1
  return bytes
}

/** What is damaged of the newest snapshot, or of packs; of older metadata nothing can come back. */
async function unmended(store: BackedUpStore): Promise<readonly string[]> {
  const newestName = (await store.backup.snapshots()).at(-1)
  return (await store.damage())
    .filter(
      (each) => each.key.startsWith('packs/') || each.snapshots.some((name) => name === newestName),
    )
    .map((each) => each.key)
}

const damages = [
  ['cut short', (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 1)],
  ['empty', () => new Uint8Array(0)],
] as const

test.each(
  damages.flatMap(([damage, edit]) =>
    [undefined, key].flatMap((secret) =>
      ['packs/', 'metadata/'].map((prefix) => ({
        damage,
        edit,
        secret,
        prefix,
        sealed: secret === undefined ? 'plain' : 'sealed',
      })),
    ),
  ),
)(
  'an object below $prefix, $sealed, that is $damage is no ground for the next backup',
  async ({ edit, secret, prefix }) => {
    await using store = await openBackedUpStore(secret)
    await put(store, 1)
    await store.take()
    const [name] = await keysOf(store, prefix)
    await change(store, name as ObjectKey, edit)
    expect((await store.damage()).length).toBe(1)
    await put(store, 2)
    await store.take()
    expect(await unmended(store)).toEqual([])
  },
)

test('what no snapshot names yet is written anew, too, when it is not as long as it is to be', async () => {
  await using store = await openBackedUpStore()
  await put(store, 1)
  const { name } = await store.take()
  // As an interrupted backup leaves it.
  await store.backup.remove(`snapshots/${name}`)
  const [pack] = await keysOf(store, 'packs/')
  await change(store, pack as ObjectKey, () => new Uint8Array(0))
  await store.take()
  expect((await store.backup.snapshots()).length).toBe(1)
  expect(await store.damage()).toEqual([])
})

test.each([undefined, key])(
  'a bit that has changed is mended by a backup that is asked to repair (%#)',
  async (secret) => {
    await using store = await openBackedUpStore(secret)
    await put(store, 1)
    await store.take()
    for (const prefix of ['packs/', 'metadata/']) {
      const [name] = await keysOf(store, prefix)
      await change(store, name as ObjectKey, flip)
    }
    await put(store, 2)
    await store.take({ repairs: true })
    expect(await unmended(store)).toEqual([])
  },
)

test('a snapshot of which something goes while it is made is not there before it is whole', async () => {
  await using store = await openBackedUpStore()
  await put(store, 1)
  await store.take()
  const [before] = await store.backup.snapshots()
  const { signal } = new AbortController()
  const options = { scope: 'whole', skipsDamaged: false, signal } as const
  let round = 0
  let seen: readonly string[] = []
  async function* losing(known: KnownObjects): AsyncGenerator<ExtractEvent> {
    round += 1
    if (round === 1) {
      const [pack] = await keysOf(store, 'packs/')
      await store.backup.remove(pack ?? '')
    }
    seen = await store.backup.snapshots()
    yield* extract(store.extracted, { ...options, known })
  }
  await writeBackup(store.backup, losing, { pause })
  expect({ round, seen }).toEqual({ round: 2, seen: [before] })
  expect(await store.damage()).toEqual([])
})

test('no snapshot that is whole goes for one that is damaged, and the next backup mends that', async () => {
  await using store = await openBackedUpStore()
  for (let number = 0; number < 4; number += 1) {
    await put(store, number)
    await store.take()
  }
  const names = await store.backup.snapshots()
  // Of the second one on, all need it.
  const had = new Set(
    [...neededObjects(await store.backup.snapshot(names[0] as SnapshotName))].map(
      (each) => each.key,
    ),
  )
  const second = [...neededObjects(await store.backup.snapshot(names[1] as SnapshotName))]
  const damaged = second.find((each) => each.key.startsWith('packs/') && !had.has(each.key))?.key
  await change(store, damaged as ObjectKey, flip)
  const forgotten = await forgetSnapshots(store.backup, newest(1), { pause })
  const none = { names: [], objectsRemoved: 0, unreadable: [] }
  expect(forgotten).toEqual({ ...none, damaged: [damaged] })
  expect(await store.backup.snapshots()).toEqual(names)
  await store.take({ damaged: forgotten.damaged })
  const { names: old, damaged: left } = await forgetSnapshots(store.backup, newest(1), { pause })
  expect({ old, left }).toEqual({ old: names, left: [] })
  expect(await store.damage()).toEqual([])
})

test('a pack that was damaged in the store is lacking in a snapshot that was made without it, until it comes', async () => {
  await using store = await openBackedUpStore()
  await put(store, 1)
  await put(store, 2)
  const { objects } = store
  const [pack] = await Array.fromAsync(objects.list('packs/'))
  const lost = pack?.key as ObjectKey
  const bytes = await objects.get(lost, 0, pack?.sizeBytes ?? 0)
  await objects.delete(lost)
  const { name } = await store.take({ skipsDamaged: true })
  expect(await store.damage()).toEqual([
    { key: lost, what: expect.stringContaining('was left out'), snapshots: [name] },
  ])
  // Nothing that is whole goes for it.
  expect((await forgetSnapshots(store.backup, newest(1), { pause })).names).toEqual([])
  await objects.putIfAbsent(lost, [bytes])
  await store.take()
  expect(await store.damage()).toEqual([])
})

test('a snapshot that cannot be read holds back no other: it is named, and repaired away', async () => {
  await using store = await openBackedUpStore()
  const names: SnapshotName[] = []
  for (let number = 0; number < 4; number += 1) {
    await put(store, number)
    names.push((await store.take()).name)
  }
  const [first, second, third, last] = names
  await change(store, `snapshots/${last}` as ObjectKey, flip)
  const { backup } = store
  await expect(backup.findToRestore('')).rejects.toThrow(
    `snapshot ${last}: its bytes are not those that were stored; nothing has been restored. The newest snapshot of memory that can be read is another one: --snapshot ${third} takes it`,
  )
  expect(await backup.findToRestore(third ?? '')).toBe(third)
  const options = { pause, store: (await backup.snapshot(third as SnapshotName)).store }
  const forgotten = await forgetSnapshots(backup, newest(2), options)
  expect(forgotten).toMatchObject({
    names: [first],
    unreadable: [`snapshot ${last}: its bytes are not those that were stored`],
  })
  expect(await backup.snapshots()).toEqual([second, third, last])
  const told: string[] = []
  const { name } = await store.take({ repairs: true, onDamage: (what) => told.push(what) })
  expect(told).toEqual([expect.stringMatching(new RegExp(`^snapshot ${last}: .* was removed$`))])
  expect(await backup.findToRestore('')).toBe(name)
  expect(await store.damage()).toEqual([])
})

test('whoever adds to a backup is told that its newest snapshot cannot be read', async () => {
  await using store = await openBackedUpStore()
  await put(store, 1)
  const { name } = await store.take()
  const told: string[] = []
  const onDamage = (what: string): void => void told.push(what)
  await store.take({ onDamage })
  expect(told).toEqual([])
  const last = (await store.backup.snapshots()).at(-1)
  await change(store, `snapshots/${last}` as ObjectKey, flip)
  await put(store, 2)
  await store.take({ onDamage })
  expect(told).toEqual([
    `snapshot ${last}: its bytes are not those that were stored; nothing can be restored from it, and --repair removes it`,
  ])
  expect(last).not.toBe(name)
})

test('of the copies of one store, one that cannot be read goes when all that stay are newer', async () => {
  await using store = await openBackedUpStore()
  const { name } = await store.take()
  await change(store, `snapshots/${name}` as ObjectKey, flip)
  await store.take()
  expect((await forgetSnapshots(store.backup, newest(1), { pause })).names).toEqual([name])
})

test('a repair tells which old snapshots stay damaged, and what they lack', async () => {
  await using store = await openBackedUpStore()
  await put(store, 1)
  const { name } = await store.take()
  const old = await keysOf(store, 'metadata/')
  await put(store, 2)
  await store.take()
  for (const each of old) await store.backup.remove(each)
  const told: string[] = []
  await store.take({ repairs: true, onDamage: (what) => told.push(what) })
  expect(told[0]).toMatch(new RegExp(`^snapshot ${name} stays damaged: .*, such as ${old[0]}$`))
})
