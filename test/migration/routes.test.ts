import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { BlobServiceClient } from '@azure/storage-blob'
import { afterEach, describe, expect, test } from 'vitest'
import { OpenCommits } from '../../src/gen/pachyderm_pb.ts'
import { openOldObjects } from '../../src/legacy/open-objects.ts'
import { GrpcFixture } from '../../src/testing/grpc-fixture.ts'
import { Azurite } from '../harness/azurite.ts'
import { peersRequired } from '../harness/child-program.ts'
import { Etcd } from '../harness/etcd.ts'
import { UnpackedCluster } from '../harness/old-clusters.ts'
import { serveOldCluster } from '../harness/old-server.ts'
import { Radosgw } from '../harness/radosgw.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { migrate } from './migrate.ts'
import { expectedContents, servedContents, withoutOpen } from './migrated.ts'

const request = {
  force: true,
  keepPaused: true,
  killUnfinishedJobs: true,
  openCommits: OpenCommits.KEEP,
}
/** Of an object store, on a busy machine. */
const startMsMax = 600_000

async function expectWhole(pachd: TestPachd, cluster: UnpackedCluster): Promise<void> {
  expect(withoutOpen(await servedContents(pachd))).toEqual(
    withoutOpen(expectedContents(cluster.expected)),
  )
}

describe.runIf(Etcd.isInstalled || peersRequired)('from an etcd that runs', () => {
  test('a cluster comes whole, and what is written meanwhile is noticed', async () => {
    await using cluster = await UnpackedCluster.unpack('1.5.3')
    await using etcd = await Etcd.start(cluster.etcd)
    await using pachd = await TestPachd.start()
    const place = { ...request, etcd: etcd.address }
    let hasWritten: Promise<void> | undefined
    const disturbed = migrate(pachd, cluster, place, () => {
      hasWritten ??= etcd.put('pachyderm_pfs/branches/docs/later', 'x')
    })
    await expect(disturbed).rejects.toThrow(/was written to while it was read/)
    expect((await pachd.pfs.listRepo({})).repoInfo).toEqual([])
    const { damage } = await migrate(pachd, cluster, { ...place, skipDamaged: true })
    expect(damage.map(({ what }) => what)).toEqual(['pachyderm_pfs/branches/docs/later'])
    await expectWhole(pachd, cluster)
  })
})

async function objectsBelow(directory: string): Promise<ReadonlyMap<string, Buffer>> {
  const found = new Map<string, Buffer>()
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    found.set(relative(directory, path), await readFile(path))
  }
  return found
}

describe.runIf(Radosgw.isInstalled || peersRequired)('from S3', () => {
  test(
    'a cluster comes whole',
    async () => {
      await using cluster = await UnpackedCluster.unpack('1.5.3-objectstore')
      await using gateway = await Radosgw.start()
      const client = gateway.client()
      for (const [Key, Body] of await objectsBelow(cluster.storage)) {
        await client.send(new PutObjectCommand({ Bucket: 'bucket', Key, Body }))
      }
      client.destroy()
      const { variables } = gateway
      const clouds = { variables, secretsDirectory: '/nonexistent' }
      await using pachd = await TestPachd.start({ clouds })
      const { summary } = await migrate(pachd, cluster, { ...request, storage: 's3://bucket' })
      expect(summary?.counts?.results).toBeGreaterThan(40n)
      await expectWhole(pachd, cluster)
    },
    startMsMax,
  )
})

describe.runIf(Azurite.isInstalled || peersRequired)('from Azure', () => {
  test(
    'a cluster comes whole, with the slash that its keys begin with',
    async () => {
      await using cluster = await UnpackedCluster.unpack('1.5.3-objectstore')
      await using azurite = await Azurite.start()
      const container = BlobServiceClient.fromConnectionString(
        azurite.connection,
      ).getContainerClient('bucket')
      await container.create()
      for (const [key, bytes] of await objectsBelow(cluster.storage)) {
        await container.getBlockBlobClient(`/${key}`).upload(bytes, bytes.length)
      }
      const variables = { AZURE_STORAGE_CONNECTION_STRING: azurite.connection }
      const clouds = { variables, secretsDirectory: '/nonexistent' }
      await using pachd = await TestPachd.start({ clouds })
      const { damage } = await migrate(pachd, cluster, { ...request, storage: 'as://host/bucket' })
      expect(damage).toEqual([])
      await expectWhole(pachd, cluster)
    },
    startMsMax,
  )
})

describe('through a pachd', () => {
  const fixture = new GrpcFixture()

  afterEach(async () => fixture.close())

  test.each([
    ['1.4.8', { major: 1, minor: 4, micro: 8 }, 'pipeline nested'],
    ['1.5.3', { major: 1, minor: 5, micro: 3 }, ''],
  ] as const)('a cluster of %s comes whole but for what is open', async (name, version, left) => {
    await using cluster = await UnpackedCluster.unpack(name)
    await using objects = await openOldObjects(
      cluster.storage,
      async () => Promise.reject(new Error('no bucket')),
      AbortSignal.timeout(startMsMax),
    )
    const port = await serveOldCluster(fixture, cluster.expected, objects, version)
    await using pachd = await TestPachd.start()
    const from = { etcd: '', storage: '' }
    const { damage, summary } = await migrate(pachd, from, {
      ...request,
      pachd: `127.0.0.1:${port}`,
      openCommits: OpenCommits.DROP,
      skipDamaged: left !== '',
    })
    // A branch whose head is open leads nowhere.
    expect(damage.map(({ kind, what }) => `${kind} ${what}`)).toEqual([left].filter(Boolean))
    expect(summary?.counts?.results).toBeGreaterThan(30n)
    const expected = withoutOpen(expectedContents(cluster.expected))
    const served = await servedContents(pachd)
    const { wip = '', ...branches } = expected['docs']?.branches ?? {}
    expect(wip).not.toBe('')
    const { wip: parent, ...rest } = served['docs']?.branches ?? {}
    expect(rest).toEqual(branches)
    expect(Object.keys(expected['docs']?.commits ?? {})).toContain(parent)
    const strip = (contents: typeof expected): unknown =>
      Object.entries(contents).map(([repo, { info, commits }]) => ({ repo, info, commits }))
    expect(new Set(strip(served) as unknown[])).toEqual(new Set(strip(expected) as unknown[]))
  })

  test('a server of 1.3, and one of ours, are no old clusters', async () => {
    await using pachd = await TestPachd.start()
    const from = { etcd: '', storage: '' }
    const own = migrate(pachd, from, { pachd: `127.0.0.1:${pachd.port}` })
    await expect(own).rejects.toThrow(/is no old cluster, but a server like this one/)
  })
})
