import { readFile, writeFile } from 'node:fs/promises'
import { afterEach, expect, test } from 'vitest'
import { OpenCommits } from '../../src/gen/pachyderm_pb.ts'
import type { OldObjects } from '../../src/legacy/old-objects.ts'
import { openOldObjects } from '../../src/legacy/objects/open-objects.ts'
import { GrpcFixture } from '../../src/testing/grpc-fixture.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { type OldClusterName, UnpackedCluster } from '../harness/old-clusters.ts'
import { type OldServer, readerless, serveOldCluster } from '../harness/old-server.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { expectWhole } from './expect-whole.ts'
import { migrate, type Migrated } from './migrate.ts'
import { expectedContents, logOf, servedContents, withoutOpen } from './migrated.ts'

const request = {
  force: true,
  keepPaused: true,
  killUnfinishedJobs: true,
  openCommits: OpenCommits.DROP,
}
const nowhere = { etcd: '', storage: '' }
const fixture = new GrpcFixture()

afterEach(async () => fixture.close())

const noBucket = async (): Promise<never> => Promise.reject(new Error('no bucket'))

async function openObjects(cluster: UnpackedCluster): Promise<OldObjects> {
  return await openOldObjects(cluster.storage, noBucket, new AbortController().signal)
}

const versionOf = (micro: number, minor: number): OldServer['version'] => ({
  major: 1,
  minor,
  micro,
})

const served: readonly (readonly [string, OldClusterName, OldServer['version'], boolean])[] = [
  ['1.4.6, which cannot list tags', '1.4.8', versionOf(6, 4), false],
  ['1.4.8', '1.4.8', versionOf(8, 4), true],
  ['1.5.3 that keeps files', '1.5.3', versionOf(3, 5), false],
  ['1.5.3 that keeps objects in a bucket', '1.5.3-objectstore', versionOf(3, 5), true],
]

test.each(served)(
  'what comes of %s is what comes of its stores, but for what is open',
  async (_, name, version, listsTags) => {
    await using cluster = await UnpackedCluster.unpack(name)
    await using objects = await openObjects(cluster)
    const { expected } = cluster
    const port = await serveOldCluster(fixture, { expected, objects, version, listsTags })
    await using pachd = await TestPachd.start()
    const is14 = version.minor === 4
    const asked = { ...request, skipDamaged: is14 }
    const { damage, summary } = await migrate(pachd, nowhere, {
      ...asked,
      pachd: `127.0.0.1:${port}`,
    })
    // 1.4 let a pipeline read a repo through two branches.
    expect(damage.map(({ kind, what }) => `${kind} ${what}`)).toEqual(
      is14 ? ['pipeline nested'] : [],
    )
    await using other = await TestPachd.start()
    const ofStores = await migrate(other, cluster, asked)
    // What pipelines of 1.5 kept for access control, a server does not say.
    expect({ ...summary?.counts, access: 0n }).toEqual({ ...ofStores.summary?.counts, access: 0n })
    expect(summary?.counts?.results).toBeGreaterThan(30n)
    await expectWhole(pachd, cluster, 'drop')
    // Only 1.5 has statistics.
    const log = await logOf(pachd, is14 ? 'plain' : 'counted')
    expect(log.includes('log line')).toBe(!is14)
    expect(log).toEqual(await logOf(other, is14 ? 'plain' : 'counted'))
    const contents = withoutOpen(await servedContents(pachd))
    expect(contents).toEqual(withoutOpen(await servedContents(other)))
    const wanted = withoutOpen(expectedContents(expected))
    for (const [repo, { info, commits }] of Object.entries(wanted)) {
      expect({ repo, info, commits }).toEqual({
        repo,
        info: contents[repo]?.info,
        commits: contents[repo]?.commits,
      })
    }
  },
)

/** A server of 1.5.3 whose access control is on. */
async function serveControlled(
  cluster: UnpackedCluster,
  objects: OldObjects,
  more: Partial<OldServer> = {},
): Promise<string> {
  const port = await serveOldCluster(fixture, {
    version: versionOf(3, 5),
    expected: cluster.expected,
    objects,
    ...more,
  })
  return `127.0.0.1:${port}`
}

const token = 'c0ffee00c0ffee00c0ffee00c0ffee00'
const access = { token, lists: ['docs', 'left'] }

test('where access control is on, a token is needed, and --force, and the lists come', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  await using objects = await openObjects(cluster)
  const pachdAddress = await serveControlled(cluster, objects, { access })
  await using pachd = await TestPachd.start()
  const attempt = async (more: typeof request | object): Promise<Migrated> =>
    await migrate(pachd, nowhere, { ...request, pachd: pachdAddress, ...more })
  await expect(attempt({})).rejects.toThrow(
    /auth token not found in context\. Its access control is on: give the token of an administrator, .* --pachd-token-file/,
  )
  await expect(attempt({ pachdToken: 'unknown' })).rejects.toThrow(
    /token not found\. Its access control is on/,
  )
  await expect(attempt({ pachdToken: readerless })).rejects.toThrow(
    /not authorized .* on the repo .*\. Its access control is on: give the token of an administrator/,
  )
  await expect(attempt({ pachdToken: 'two words' })).rejects.toThrow(/is none: it has blanks/)
  await expect(attempt({ pachdToken: token, force: false })).rejects.toThrow(
    /access control was active, .* can read and write repos docs, left; lists are kept for later, and not users and tokens/,
  )
  expect((await pachd.pfs.listRepo({})).repoInfo).toEqual([])
  const migrated = await attempt({ pachdToken: token })
  expect(migrated.summary?.counts?.access).toBe(2n)
  expect(JSON.stringify([migrated.notices, migrated.damage, pachd.log])).not.toContain(token)
})

test('pachctl takes the token from a file or from its environment', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  await using objects = await openObjects(cluster)
  const address = await serveControlled(cluster, objects, { access })
  await using directory = await TemporaryDirectory.create()
  await writeFile(directory.join('token'), `${token}\n`)
  await using pachd = await TestPachd.start()
  const place = { port: pachd.port, home: directory.path }
  const report = ['--report', directory.join('report.jsonl')]
  const args = ['migrate', '--pachd', address, '--force', '--open-commits', 'drop', ...report]
  const without = await pachctlHere(args, place)
  expect(without).toMatchObject({ code: 1, err: expect.stringContaining('PACHD_TOKEN') as string })
  const byFile = ['--dry-run', '--pachd-token-file', directory.join('token')]
  expect(await pachctlHere([...args, ...byFile], place)).toMatchObject({ code: 0, err: '' })
  const missing = await pachctlHere([...args, '--pachd-token-file', directory.join('none')], place)
  expect(missing.err).toBe(`cannot read ${directory.join('none')}: no such file or directory\n`)
  const come = await pachctlHere(args, { ...place, environment: { PACHD_TOKEN: token } })
  expect(come).toMatchObject({ code: 0, err: '' })
  expect(come.out).toContain('  2 of users, tokens and access lists\n')
  const said = [without, come, pachd.log, await readFile(directory.join('report.jsonl'), 'utf8')]
  expect(JSON.stringify(said)).not.toContain(token)
})

test('what an open commit holds is not told by a pachd, and not said to have come', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  await using objects = await openObjects(cluster)
  const address = await serveControlled(cluster, objects, {})
  await using pachd = await TestPachd.start()
  const asked = { ...request, pachd: address, openCommits: OpenCommits.FINISH }
  const { damage, notices } = await migrate(pachd, nowhere, { ...asked, skipDamaged: true })
  const [{ what, reason } = { what: '', reason: '' }] = damage
  expect(damage).toHaveLength(1)
  expect(reason).toContain('finish it there, or leave it out with --open-commits drop')
  expect(notices).toContain(`the open commit ${what} is finished, without what is damaged of it`)
})

test('what runs there, and what is written meanwhile, is noticed', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  await using objects = await openObjects(cluster)
  let lists = 0
  const expected = structuredClone(cluster.expected)
  const { docs = { branches: [] } } = expected.repos
  const address = await serveControlled(cluster, objects, {
    expected,
    onListed: () => {
      lists += 1
      // A branch moves after it was first listed.
      if (lists === 1) (docs.branches as unknown[]).pop()
    },
  })
  await using pachd = await TestPachd.start()
  const asked = { ...request, pachd: address }
  await expect(migrate(pachd, nowhere, { ...asked, force: false })).rejects.toThrow(
    /pipelines .* would run what is put there, which is not seen/,
  )
  lists = 0
  await expect(migrate(pachd, nowhere, asked)).rejects.toThrow(/was written to while it was read/)
  expect((await pachd.pfs.listRepo({})).repoInfo).toEqual([])
  const { summary } = await migrate(pachd, nowhere, asked)
  expect(summary?.counts?.repos).toBe(25n)
})

test('a server of ours is no old cluster', async () => {
  await using pachd = await TestPachd.start()
  const own = migrate(pachd, nowhere, { pachd: `127.0.0.1:${pachd.port}` })
  await expect(own).rejects.toThrow(/is no old cluster, but a server like this one/)
})
