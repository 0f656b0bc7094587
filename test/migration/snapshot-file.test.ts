import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { Damage } from '../../src/legacy/damage.ts'
import { openSnapshot } from '../../src/legacy/etcd/snapshot-file.ts'
import { oldClusterNames, UnpackedCluster } from '../harness/old-clusters.ts'

const pageBytes = 4096

function checksumDamage(path: string): Damage {
  return {
    kind: 'metadata',
    what: path,
    reason: 'the checksum at the end of the snapshot is not that of what it holds',
  }
}

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

interface Read {
  readonly records: ReadonlyMap<string, string>
  readonly damage: readonly Damage[]
}

async function readSnapshot(path: string): Promise<Read> {
  const damage: Damage[] = []
  await using snapshot = await openSnapshot(
    path,
    () => true,
    (found) => damage.push(found),
  )
  const records = (await snapshot.list('pachyderm_')).map(
    ({ key, value, modRevision }) =>
      [key, `${modRevision} ${Buffer.from(value).toString('base64')}`] as const,
  )
  return { records: new Map(records), damage }
}

/** The keys whose records are others, or are not there. */
function differing(whole: Read, read: Read): readonly string[] {
  return [...new Set([...whole.records.keys(), ...read.records.keys()])].filter(
    (key) => whole.records.get(key) !== read.records.get(key),
  )
}

test('a page that is damaged costs its own records, and is told', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  const whole = await readSnapshot(cluster.etcd)
  const bytes = await readFile(cluster.etcd)
  // The number of a page that holds records says another one's.
  const number = Math.floor(bytes.indexOf('pachyderm_pfs/commits/docs/') / pageBytes)
  const start = number * pageBytes
  bytes.writeUInt8(bytes.readUInt8(start) ^ 0xff, start)
  await writeFile(cluster.etcd, bytes)
  const read = await readSnapshot(cluster.etcd)
  expect(read.damage).toEqual([
    checksumDamage(cluster.etcd),
    {
      kind: 'metadata',
      what: cluster.etcd,
      reason: `page ${number} of ${cluster.etcd} cannot be read: it calls itself by another number`,
    },
  ])
  const lost = differing(whole, read)
  const page = bytes.subarray(start, start + pageBytes * (1 + bytes.readUInt32LE(start + 12)))
  expect(lost.length).toBeGreaterThan(0)
  expect(lost.filter((key) => !page.includes(key))).toEqual([])
  expect(read.records.size).toBeGreaterThan(10)
})

test('a flipped bit in a value is told, and changes no other', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  const whole = await readSnapshot(cluster.etcd)
  const bytes = await readFile(cluster.etcd)
  let flipped = 0
  for (const { key, value } of cluster.keys.filter((_, index) => index % 15 === 0)) {
    const stored = Buffer.from(value, 'base64')
    const at = bytes.indexOf(stored)
    const isAlone = stored.length > 8 && at !== -1 && bytes.indexOf(stored, at + 1) === -1
    if (!isAlone || !key.startsWith('pachyderm_')) continue
    const middle = at + Math.floor(stored.length / 2)
    const spoilt = Buffer.from(bytes)
    spoilt.writeUInt8(spoilt.readUInt8(middle) ^ 1, middle)
    await writeFile(cluster.etcd, spoilt)
    const read = await readSnapshot(cluster.etcd)
    expect(read.damage).toEqual([checksumDamage(cluster.etcd)])
    expect(differing(whole, read)).toEqual([key])
    flipped += 1
  }
  expect(flipped).toBeGreaterThan(5)
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
