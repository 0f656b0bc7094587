import { appendFile, stat, truncate } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { utf8 } from '../../src/base/bytes.ts'
import { OpenCommits } from '../../src/gen/pachyderm_pb.ts'
import { openOldObjects } from '../../src/legacy/objects/open-objects.ts'
import { GrpcFixture } from '../../src/testing/grpc-fixture.ts'
import { OldClusterWriter } from '../../src/testing/old-cluster-writer.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { peersRequired } from '../../src/testing/left-out.ts'
import { Etcd } from '../harness/etcd.ts'
import { UnpackedCluster } from '../harness/old-clusters.ts'
import { serveOldCluster } from '../harness/old-server.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { migrate, type Migrated } from './migrate.ts'
import { SmallCluster, type SmallShape } from './small-cluster.ts'

const binary: SmallShape = { layout: 'files', isText: false }
type Asked = Parameters<typeof migrate>[2]

let opened: AsyncDisposableStack
let directory: TemporaryDirectory
let pachd: TestPachd

beforeEach(async () => {
  opened = new AsyncDisposableStack()
  directory = opened.use(await TemporaryDirectory.create())
  pachd = opened.use(await TestPachd.start())
})

afterEach(async () => opened.disposeAsync())

const noBucket = async (): Promise<never> => Promise.reject(new Error('no bucket'))

async function small(shape = binary): Promise<OldClusterWriter> {
  const cluster = await SmallCluster.begin(directory.path, shape)
  await cluster.finish()
  return cluster.writer
}

async function refusal(
  cluster: Pick<OldClusterWriter, 'etcd' | 'storage'>,
  asked: Asked,
): Promise<string> {
  const migrated = migrate(pachd, cluster, { openCommits: OpenCommits.DROP, ...asked })
  const error = await migrated.then(() => undefined, (reason: unknown) => reason) // prettier-ignore
  expect(error).toBeInstanceOf(Error)
  expect((await pachd.pfs.listRepo({})).repoInfo).toEqual([])
  return cluster.etcd === '' ? String(error) : String(error).replaceAll(cluster.etcd, 'ETCD')
}

const wrongPrefixes: readonly (readonly [string, Asked, string])[] = [
  [
    'both prefixes',
    { pfsPrefix: 'nope', ppsPrefix: 'nope2' },
    'no key of ETCD begins with nope/repos/, and so there is nothing to migrate; keys of repos begin with pachyderm_pfs: give one as --pfs-prefix, and of pipelines with pachyderm_pps: give one as --pps-prefix',
  ],
  [
    'the prefix of repos',
    { pfsPrefix: 'nope' },
    'keys of repos begin with pachyderm_pfs: give one as --pfs-prefix',
  ],
  [
    'the prefix of pipelines',
    { ppsPrefix: 'nope' },
    'no pipelines or jobs are where they were looked for, and keys of pipelines begin with pachyderm_pps: unless they are another cluster',
  ],
]

describe('a migration that would bring nothing is refused', () => {
  test.each(wrongPrefixes)('with %s wrong, and the right ones are named', async (_, asked, why) => {
    const cluster = await small()
    expect(await refusal(cluster, asked)).toContain(why)
    if (asked.pfsPrefix === undefined) return
    expect(await refusal(cluster, { ...asked, dryRun: true, force: true })).toContain(why)
  })

  test.runIf(Etcd.isInstalled || peersRequired).each(wrongPrefixes)(
    'also of an etcd that runs, with %s wrong',
    async (_, asked, why) => {
      const { etcd: snapshot, storage } = opened.use(await UnpackedCluster.unpack('1.5.3'))
      const etcd = opened.use(await Etcd.start(snapshot))
      const text = await refusal({ etcd: etcd.address, storage }, asked)
      expect(text).toContain(why.replace('ETCD', 'etcd at ETCD'))
    },
  )

  test('of an etcd of something else, or an empty one', async () => {
    const foreign = new OldClusterWriter(directory.path, binary)
    await foreign.begin()
    foreign.raw('/registry/pods/default/x', utf8('x'))
    foreign.raw('lonely', utf8('x'))
    await foreign.finish()
    expect(await refusal(foreign, {})).toContain(
      'keys begin with "/registry/", "lonely": it is of a cluster without repos, or of something else',
    )
    const empty = new OldClusterWriter(directory.path, binary)
    await empty.finish()
    expect(await refusal(empty, {})).toContain('it holds nothing at all')
  })

  test('of an etcd that does not answer', async () => {
    const storage = directory.path
    expect(await refusal({ etcd: '127.0.0.1:1', storage }, {})).toBe(
      'RpcError: cannot reach etcd at ETCD: connection refused; look whether the address is right, and can be reached from this server; in a cluster, kubectl port-forward can make it so',
    )
  })

  test('of a directory in place of a snapshot', async () => {
    const cluster = await small()
    expect(await refusal({ etcd: directory.path, storage: cluster.storage }, {})).toContain(
      'is a directory, and a snapshot of an etcd is one file',
    )
  })

  test('of a server that lists no repos', async () => {
    const fixture = new GrpcFixture()
    opened.defer(async () => fixture.close())
    const cluster = opened.use(await UnpackedCluster.unpack('1.5.3'))
    const objects = opened.use(
      await openOldObjects(cluster.storage, noBucket, new AbortController().signal),
    )
    const expected = { ...cluster.expected, repos: {}, pipelines: {}, jobs: [] }
    const version = { major: 1, minor: 5, micro: 3 }
    const port = await serveOldCluster(fixture, { expected, objects, version, listsTags: false })
    expect(await refusal({ etcd: '', storage: '' }, { pachd: `127.0.0.1:${port}` })).toContain(
      'has no repos, and so there is nothing to migrate',
    )
  })

  test('and what of its snapshot is damaged is told before', async () => {
    const cluster = await small()
    const told: Migrated['damage'][number][] = []
    await truncate(cluster.etcd, (await stat(cluster.etcd)).size - 1)
    await appendFile(cluster.etcd, '!')
    const asked = { pfsPrefix: 'nope' }
    const migrated = migrate(pachd, cluster, asked, ({ event }) => {
      if (event.case === 'damage') told.push(event.value)
    })
    await expect(migrated).rejects.toThrow('nothing to migrate')
    expect(told.map(({ kind, reason }) => `${kind}: ${reason}`)).toEqual([
      'metadata: the checksum at the end of the snapshot is not that of what it holds',
    ])
  })
})

test('a prefix of pipelines that has none is gone by with force, and a slash at the end of one is none of it', async () => {
  const cluster = await small()
  const asked = {
    openCommits: OpenCommits.DROP,
    ppsPrefix: 'nope/',
    pfsPrefix: 'pachyderm_pfs/',
    force: true,
  }
  const { notices, summary } = await migrate(pachd, cluster, asked)
  expect(notices.join('\n')).toContain('keys of pipelines begin with pachyderm_pps')
  expect(summary?.counts).toMatchObject({ repos: 2n, pipelines: 0n })
})

test.each([
  [false, '1.4.*', '1.5'],
  [true, '1.5.0', '1.4'],
])('of records that are text: %s, --from %s is refused', async (isText, from, version) => {
  const cluster = await small({ ...binary, isText })
  expect(await refusal(cluster, { from, force: true })).toContain(
    `is of version ${version}, and --from says ${from}`,
  )
})

test.each([
  [false, '1.5.3'],
  [false, '1.5.*'],
  [true, '1.4.8'],
])('of records that are text: %s, --from %s is true', async (isText, from) => {
  const cluster = await small({ ...binary, isText })
  const asked = { from, force: true, openCommits: OpenCommits.DROP }
  expect((await migrate(pachd, cluster, asked)).summary?.counts?.repos).toBe(2n)
})
