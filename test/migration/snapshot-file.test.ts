import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { Damage } from '../../src/legacy/damage.ts'
import { openSnapshot } from '../../src/legacy/etcd/snapshot-file.ts'
import { oldClusterNames, UnpackedCluster } from '../harness/old-clusters.ts'

function byKey(left: { readonly key: string }, right: { readonly key: string }): number {
  return left.key < right.key ? -1 : 1
}

test.each(oldClusterNames)('a snapshot of %s is read as its own etcd reads it', async (name) => {
  await using cluster = await UnpackedCluster.unpack(name)
  const damage: Damage[] = []
  await using snapshot = await openSnapshot(
    cluster.etcd,
    () => true,
    (found) => damage.push(found),
  )
  const records = await snapshot.list('pachyderm_')
  const found = records.map(({ key, value, modRevision }) => ({
    key,
    value: Buffer.from(value).toString('base64'),
    modRevision,
  }))
  const expected = cluster.keys
    .filter(({ key }) => key.startsWith('pachyderm_'))
    .map(({ key, value, modRevision }) => ({ key, value, modRevision }))
  expect(found.toSorted(byKey)).toEqual(expected.toSorted(byKey))
  expect(found.map(({ modRevision }) => modRevision)).toEqual(
    found.map(({ modRevision }) => modRevision).toSorted((left, right) => left - right),
  )
  expect(damage).toEqual([])
})

test('a page that is damaged costs its own records, and is told', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  const bytes = await readFile(cluster.etcd)
  // The number of a page that holds records says another one's.
  const at = bytes.indexOf('pachyderm_pfs/commits/docs/')
  bytes.writeUInt8(
    bytes.readUInt8(Math.floor(at / 4096) * 4096) ^ 0xff,
    Math.floor(at / 4096) * 4096,
  )
  await writeFile(cluster.etcd, bytes)
  const damage: Damage[] = []
  await using snapshot = await openSnapshot(
    cluster.etcd,
    () => true,
    (found) => damage.push(found),
  )
  const reasons = damage.map(({ reason }) => reason)
  expect(reasons[0]).toContain('checksum')
  expect(reasons.slice(1).join()).toMatch(
    /page \d+ of .* cannot be read: it calls itself by another/,
  )
  expect((await snapshot.list('pachyderm_')).length).toBeGreaterThan(10)
})

test('any byte of a snapshot may be another without more than damage that is told', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3-objectstore')
  const whole = await readFile(cluster.etcd)
  for (let at = 0; at + 16 <= whole.length; at += Math.floor(whole.length / 60)) {
    const bytes = Buffer.from(whole)
    bytes.fill(0xa5, at, at + 16)
    await writeFile(cluster.etcd, bytes)
    const damage: Damage[] = []
    const opening = openSnapshot(
      cluster.etcd,
      () => true,
      (found) => damage.push(found),
    )
    const outcome = await opening.then(
      () => 'read',
      (error: unknown) => (error instanceof Error ? error.name : 'unknown'),
    )
    const isTold = outcome === 'DataLossError' || (outcome === 'read' && damage.length > 0)
    expect({ at, outcome, isTold }).toMatchObject({ isTold: true })
  }
})

test('what is no snapshot is refused with advice', async () => {
  await using cluster = await UnpackedCluster.unpack('1.4.8')
  for (const bytes of [Buffer.alloc(0), Buffer.from('hello'), Buffer.alloc(70_000, 7)]) {
    await writeFile(cluster.etcd, bytes)
    await expect(
      openSnapshot(
        cluster.etcd,
        () => true,
        () => {},
      ),
    ).rejects.toThrow(
      /is no snapshot of etcd v3: make one with ETCDCTL_API=3 etcdctl snapshot save/,
    )
  }
})
