import { expect, test } from 'vitest'
import type { ObjectKey } from '../storage/object-store.ts'
import { openBackedUpStore } from '../testing/backup-store.ts'
import { encodeSnapshot, type Snapshot, snapshotKey, type SnapshotName } from './format.ts'
import { choiceLines, chooseSnapshot, factsOf, takenText } from './snapshot-choice.ts'

test('of several stores in a place, the newest snapshot of each other one is named, unless one was chosen', async () => {
  await using store = await openBackedUpStore()
  const { snapshot } = await store.take()
  const add = async (change: Partial<Snapshot>): Promise<SnapshotName> => {
    const { name, bytes } = encodeSnapshot({ ...snapshot, ...change })
    await store.backup.write(snapshotKey(name), bytes)
    return name
  }
  const [a, b, c] = ['a', 'b', 'c'].map((letter) => letter.repeat(32)) as [string, string, string]
  await add({ store: a, takenAt: 1_000_000 })
  const ofA = await add({ store: a, takenAt: 2_000_000, counts: { repos: 1, commits: 2 } })
  // As of a release that does not count.
  const ofB = await add({ store: b, takenAt: 3_000_000, counts: undefined })
  await add({ store: c, takenAt: 4_000_000, scope: 'data' })
  const broken = await add({ store: c, takenAt: 5_000_000 })
  await store.objectsOfBackup.delete(snapshotKey(broken) as ObjectKey)
  await store.backup.write(snapshotKey(broken), new Uint8Array(9))

  const chosen = await chooseSnapshot(store.backup, '')
  expect(chosen.snapshot.store).toBe(snapshot.store)
  expect(chosen.others.map(({ name }) => name)).toEqual([ofB, ofA])
  const lines = choiceLines('/backup', factsOf(chosen), chosen.others.map(factsOf))
  expect(lines).toEqual([
    `/backup holds snapshots of 3 stores, and none was named: the newest comes, of store unknown with 0 repos and 0 commits`,
    '  --snapshot 19700101T000003.000000Z is the newest of store bbbbbbbb',
    '  --snapshot 19700101T000002.000000Z is the newest of store aaaaaaaa with 1 repo and 2 commits',
  ])
  const named = await chooseSnapshot(store.backup, '19700101T000002')
  expect(named).toMatchObject({ name: ofA, others: [] })
  expect(takenText(factsOf(named))).toBe(
    'taken 1970-01-01 00:00:02 UTC of store aaaaaaaa with 1 repo and 2 commits',
  )
})
