import { readdir, readlink, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { MigrationSummary } from '../../src/gen/pachyderm_pb.ts'
import { oldClusterNames, UnpackedCluster } from '../harness/old-clusters.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { migrate, type Migrated } from './migrate.ts'

const request = { force: true, keepPaused: true, killUnfinishedJobs: true, skipDamaged: true }

/** What a dry run and a migration must say alike, whatever the order. */
function said({ damage, notices }: Migrated): unknown {
  const texts = notices.filter((text) => !text.startsWith('needs --force: '))
  return {
    damage: damage.map(({ kind, what, reason }) => `${kind} ${what}: ${reason}`).toSorted(),
    notices: texts.filter((text) => !text.includes('had not ended')).toSorted(),
  }
}

function countsOf(summary: MigrationSummary | undefined): unknown {
  const { $typeName: _, ...counts } = summary?.counts ?? { $typeName: '' }
  return counts
}

async function expectSame(cluster: UnpackedCluster): Promise<Migrated> {
  await using pachd = await TestPachd.start()
  const dry = await migrate(pachd, cluster, { ...request, dryRun: true })
  expect(dry.summary?.dryRun).toBe(true)
  expect((await pachd.pfs.listRepo({})).repoInfo).toEqual([])
  await expect(pachd.migrations.abandonMigration({})).resolves.toMatchObject({ found: false })
  expect(await readdir(join(pachd.root, 'scratch'))).not.toContain('rehearsal')
  const real = await migrate(pachd, cluster, request)
  expect(said(dry)).toEqual(said(real))
  expect(countsOf(dry.summary)).toEqual(countsOf(real.summary))
  return dry
}

test.each(oldClusterNames)(
  'a dry run over %s says and counts what a migration does',
  async (name) => {
    await using cluster = await UnpackedCluster.unpack(name)
    const { summary } = await expectSame(cluster)
    expect(summary?.counts?.results).toBeGreaterThan(30n)
  },
)

test('a dry run names results of datums that cannot be read, and tags that lead nowhere', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  const inCommits = JSON.stringify(cluster.expected)
  const hashes = new Set<string>()
  for (const tag of await readdir(join(cluster.storage, 'tag'))) {
    const hash = (await readlink(join(cluster.storage, 'tag', tag))).split('/').at(-1) ?? ''
    if (!tag.endsWith('_stats') && !inCommits.includes(hash)) hashes.add(hash)
  }
  const [gone = '', broken = ''] = hashes
  await rm(join(cluster.storage, 'object', gone))
  await writeFile(join(cluster.storage, 'object', broken), 'no tree')
  const { damage } = await expectSame(cluster)
  expect(new Set(damage.map(({ kind, what }) => `${kind} ${what}`))).toEqual(
    new Set([`tree ${gone}`, `tree ${broken}`]),
  )
})

test('a dry run says that something here has a name that would come', async () => {
  await using cluster = await UnpackedCluster.unpack('1.4.8')
  await using pachd = await TestPachd.start()
  await pachd.pfs.createRepo({ repo: { name: 'docs' } })
  const { notices } = await migrate(pachd, cluster, { ...request, dryRun: true })
  expect(notices.join('\n')).toContain('would be refused: this server has a repo docs already')
})
