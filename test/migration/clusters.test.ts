import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { RepoInfoSchema } from '../../src/gen/pfs_pb.ts'
import { OldClusterWriter } from '../../src/testing/old-cluster-writer.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { OpenCommits } from '../../src/gen/pachyderm_pb.ts'
import { oldClusterNames, UnpackedCluster } from '../harness/old-clusters.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { leftOut } from './differences.ts'
import { migrate } from './migrate.ts'
import { expectWhole } from './expect-whole.ts'

/** What a check of all that is stored finds. */
async function findingsOf(pachd: TestPachd): Promise<readonly string[]> {
  const found: string[] = []
  for await (const { event } of pachd.admin.check({ full: true })) {
    if (event.case === 'finding') found.push(`${event.value.kind}: ${event.value.what}`)
  }
  return found
}

test.each(oldClusterNames)('a cluster of %s comes over whole', async (name) => {
  await using cluster = await UnpackedCluster.unpack(name)
  await using pachd = await TestPachd.start()
  const { summary, damage } = await migrate(pachd, cluster, {
    force: true,
    openCommits: OpenCommits.KEEP,
    killUnfinishedJobs: true,
    keepPaused: true,
    skipDamaged: leftOut[name].length > 0,
  })
  expect(damage.map(({ kind, what }) => `${kind} ${what}`)).toEqual(
    leftOut[name].map((pipeline) => `pipeline ${pipeline}`),
  )
  expect(summary?.counts?.damaged).toBe(BigInt(damage.length))
  await expectWhole(pachd, cluster, 'keep')
  expect(await findingsOf(pachd)).toEqual([])
})

test('objects can still be read by the names that they had in the old cluster', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  await using pachd = await TestPachd.start()
  await migrate(pachd, cluster, { force: true, keepPaused: true, killUnfinishedJobs: true })
  for (const { files } of Object.values(cluster.expected.repos['docs']?.commits ?? {})) {
    for (const { objects, sha256 } of Object.values(files)) {
      const hash = createHash('sha256')
      for (const object of objects) {
        for await (const { value } of pachd.objects.getObject({ hash: object })) hash.update(value)
      }
      expect(hash.digest('hex')).toBe(sha256)
    }
  }
})

test('who might do what is kept, and a cluster in which that was active needs --force', async () => {
  await using directory = await TemporaryDirectory.create()
  const writer = new OldClusterWriter(directory.path, { layout: 'files', isText: false })
  await writer.begin()
  const name = 'secret'
  writer.record(`pachyderm_pfs/repos/${name}`, RepoInfoSchema, { repo: { name } })
  writer.raw('pachyderm_pfs/auth/admins/ada', Buffer.from('ada'))
  writer.raw(`pachyderm_pfs/auth/acls/${name}`, Buffer.from('acl'))
  await writer.finish()
  await using pachd = await TestPachd.start()
  await expect(migrate(pachd, writer, {})).rejects.toThrow(
    /access control was active, .* can read and write repos secret; .* --force; nothing was changed/,
  )
  const { notices, summary } = await migrate(pachd, writer, { force: true })
  expect(notices.join()).toContain('repos secret')
  expect(summary?.counts?.access).toBe(2n)
})
