import { createHash } from 'node:crypto'
import { readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fromJson } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { OpenCommits } from '../../src/gen/pachyderm_pb.ts'
import { CommitInfoSchema, RepoInfoSchema } from '../../src/gen/pfs_pb.ts'
import { JobInfoSchema } from '../../src/gen/pps_pb.ts'
import { OldClusterWriter } from '../../src/testing/old-cluster-writer.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { UnpackedCluster } from '../harness/old-clusters.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { expectSound } from './expect-sound.ts'
import { migrate as migrateOnly, type Migrated } from './migrate.ts'
import { expectedContents, servedContents, withoutOpen, type Contents } from './migrated.ts'

const request = {
  force: true,
  keepPaused: true,
  killUnfinishedJobs: true,
  openCommits: OpenCommits.KEEP,
}

/** Whatever is left out, what has come is sound. */
async function migrate(
  pachd: TestPachd,
  cluster: Parameters<typeof migrateOnly>[1],
  asked: Parameters<typeof migrateOnly>[2],
): Promise<Migrated> {
  const migrated = await migrateOnly(pachd, cluster, asked)
  await expectSound(pachd)
  return migrated
}

function told({ damage }: Migrated): readonly string[] {
  return inOrder(damage.map(({ kind, what }) => `${kind} ${what}`))
}

const lenient = { ignoreUnknownFields: true }

function inOrder(lines: readonly string[]): readonly string[] {
  return [...new Set(lines)].toSorted((left, right) => (left < right ? -1 : 1))
}

interface OldCommitFacts {
  /** As `REPO/ID`. */
  readonly name: string
  readonly isOpen: boolean
  readonly parent: string
  readonly provenance: readonly string[]
  readonly files: Readonly<Record<string, { readonly objects: readonly string[] }>>
}

function commitsIn({ expected }: UnpackedCluster): readonly OldCommitFacts[] {
  return Object.entries(expected.repos).flatMap(([repo, { commits }]) =>
    Object.entries(commits).map(([id, { info, files }]) => {
      const { finished, parentCommit, provenance } = fromJson(CommitInfoSchema, info, {
        ignoreUnknownFields: true,
      })
      return {
        name: `${repo}/${id}`,
        isOpen: finished === undefined,
        parent: parentCommit?.id ?? '',
        provenance: provenance.map((from) => from.id),
        files,
      }
    }),
  )
}

const finishedIn = (cluster: UnpackedCluster): readonly OldCommitFacts[] =>
  commitsIn(cluster).filter(({ isOpen }) => !isOpen)

const openIn = (cluster: UnpackedCluster): readonly OldCommitFacts[] =>
  commitsIn(cluster).filter(({ isOpen }) => isOpen)

/** The name of the tree of a commit. */
function treeOf({ expected }: UnpackedCluster, repo: string, id: string): string {
  const info = expected.repos[repo]?.commits[id]?.info ?? {}
  return fromJson(CommitInfoSchema, info, lenient).tree?.hash ?? ''
}

/** Jobs that read a commit. */
function readersOf({ expected }: UnpackedCluster, id: string): readonly string[] {
  const readers = expected.raw.listJob.filter((json) => JSON.stringify(json).includes(id))
  return readers.map((json) => fromJson(JobInfoSchema, json, lenient).job?.id ?? '')
}

/** The names of the objects of a file, as the real server said them. */
function objectsOf(cluster: UnpackedCluster, repo: string, path: string): readonly string[] {
  for (const { files } of Object.values(cluster.expected.repos[repo]?.commits ?? {})) {
    const file = files[path]
    if (file !== undefined) return file.objects
  }
  throw new Error(`there is no ${repo}:${path}`)
}

/** As the writer names the block of an object that has one of its own. */
function blockName(hash: string): string {
  return createHash('md5').update(hash).digest('hex')
}

function objectPath(cluster: UnpackedCluster, hash: string): string {
  return join(cluster.storage, 'object', hash)
}

async function flipBit(path: string, at: number): Promise<void> {
  const bytes = await readFile(path)
  bytes.writeUInt8(bytes.readUInt8(at) ^ 4, at)
  await writeFile(path, bytes)
}

/** Without a file, wherever it has the content that it has there. */
function withoutFile(contents: Contents, sha256: string): unknown {
  return JSON.parse(
    JSON.stringify(contents, (key, value: unknown) => {
      if (key === 'sizeBytes') return undefined
      return value === sha256 ? undefined : typeof value === 'bigint' ? String(value) : value
    }),
  )
}

test('a flipped bit in an object costs its files, and these are told', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  const path = '/big/bytes.bin'
  const [hash = ''] = objectsOf(cluster, 'docs', path)
  await flipBit(objectPath(cluster, hash), 1000)
  await using pachd = await TestPachd.start()
  await expect(migrate(pachd, cluster, request)).rejects.toThrow(/things .* cannot be brought over/)
  expect((await pachd.pfs.listRepo({})).repoInfo).toEqual([])
  const migrated = await migrate(pachd, cluster, { ...request, skipDamaged: true })
  const commits = cluster.expected.repos['docs']?.commits ?? {}
  const owners = Object.entries(commits).filter(([, { files }]) => files[path] !== undefined)
  expect(owners.length).toBeGreaterThan(3)
  const served = withoutOpen(await servedContents(pachd))
  const { sha256 = '' } = owners[0]?.[1].files[path] ?? {}
  expect(withoutFile(served, 'none')).toEqual(
    withoutFile(withoutOpen(expectedContents(cluster.expected)), sha256),
  )
  expect(told(migrated)).toEqual(
    inOrder([
      `object ${hash}`,
      ...finishedIn(cluster).flatMap(({ name, files }) =>
        Object.entries(files).flatMap(([at, { objects }]) =>
          objects.includes(hash) ? [`file ${name}:${at}`] : [],
        ),
      ),
      // What is open shows its parent's files.
      ...openIn(cluster).flatMap(({ name, parent }) =>
        commits[parent]?.files[path] === undefined ? [] : [`commit ${name}`],
      ),
    ]),
  )
})

test.each(['missing', 'flipped'])(
  'a tree that is %s costs its commit, and no other',
  async (how) => {
    await using cluster = await UnpackedCluster.unpack('1.5.3')
    const commits = Object.values(cluster.expected.repos['docs']?.commits ?? {}).map(({ info }) =>
      fromJson(CommitInfoSchema, info, { ignoreUnknownFields: true }),
    )
    const branches = new Set(
      Object.values(expectedContents(cluster.expected)['docs']?.branches ?? {}),
    )
    // One in the middle, whose tree no other commit has.
    const trees = commits.map(({ tree }) => tree?.hash)
    const lost = commits.find(
      ({ commit, parentCommit, tree }) =>
        parentCommit !== undefined &&
        tree !== undefined &&
        !branches.has(commit?.id ?? '') &&
        trees.filter((hash) => hash === tree.hash).length === 1 &&
        commits.some((child) => child.parentCommit?.id === commit?.id),
    )
    const hash = lost?.tree?.hash ?? ''
    if (how === 'missing') await rm(objectPath(cluster, hash))
    else await flipBit(objectPath(cluster, hash), 40)
    await using pachd = await TestPachd.start()
    const migrated = await migrate(pachd, cluster, { ...request, skipDamaged: true })
    const id = lost?.commit?.id ?? ''
    const others = [...finishedIn(cluster), ...openIn(cluster)].filter(
      ({ parent, provenance }) => parent === id || provenance.includes(id),
    )
    expect(others.length).toBeGreaterThan(0)
    expect(told(migrated)).toEqual(
      inOrder([
        `commit docs/${id}`,
        `tree ${hash}`,
        ...others.map(({ name }) => `commit ${name}`),
        ...readersOf(cluster, id).map((job) => `job ${job}`),
      ]),
    )
    const served = await servedContents(pachd)
    const expected = expectedContents(cluster.expected)
    expect(Object.keys(served['docs']?.commits ?? {}).toSorted()).toEqual(
      Object.keys(expected['docs']?.commits ?? {})
        .filter((other) => other !== id)
        .toSorted(),
    )
    for (const [name, repo] of Object.entries(expected)) {
      expect(served[name]?.branches).toEqual(repo.branches)
      for (const [other, { files }] of Object.entries(repo.commits)) {
        const isCompared = other !== id && Object.keys(files).length > 0
        expect(isCompared ? served[name]?.commits[other]?.files : files).toEqual(files)
      }
    }
  },
)

test('a commit is made from what one that is left out was made from', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  const commits = finishedIn(cluster)
  const between = commits.find(({ name, provenance }) => {
    const [, id = ''] = name.split('/')
    return provenance.length > 0 && commits.some((other) => other.provenance.includes(id))
  })
  const [repo = '', lostId = ''] = between?.name.split('/') ?? []
  const hash = treeOf(cluster, repo, lostId)
  await rm(objectPath(cluster, hash))
  await using pachd = await TestPachd.start()
  const migrated = await migrate(pachd, cluster, { ...request, skipDamaged: true })
  const left = new Set(
    migrated.damage.flatMap(({ kind, what, reason }) =>
      kind === 'commit' && reason.endsWith('is damaged') ? [what] : [],
    ),
  )
  expect(left).toContain(between?.name)
  const expected = expectedContents(cluster.expected)
  const served = await servedContents(pachd)
  let count = 0
  for (const { name, provenance } of commits) {
    if (left.has(name) || !provenance.includes(lostId)) continue
    const [ofRepo = '', id = ''] = name.split('/')
    const [now, then] = [served, expected].map(
      (contents) => contents[ofRepo]?.commits[id]?.info as { readonly provenance: string[] },
    )
    expect(now?.provenance).toEqual(then?.provenance.filter((from) => !left.has(from)))
    count += now?.provenance.length ?? 0
  }
  expect(count).toBeGreaterThan(0)
})

test('a tag that leads nowhere costs a result, which is told', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  await using pachd = await TestPachd.start()
  const tags = await readdir(join(cluster.storage, 'tag'))
  // The output tree of a datum that is no commit's tree as well.
  const commitTrees = JSON.stringify(cluster.expected)
  let lost = ''
  for (const tag of tags) {
    const hash = (await readlink(join(cluster.storage, 'tag', tag))).split('/').at(-1) ?? ''
    if (!tag.endsWith('_stats') && !commitTrees.includes(hash)) lost = hash
  }
  await rm(objectPath(cluster, lost))
  const migrated = await migrate(pachd, cluster, { ...request, skipDamaged: true })
  expect(told(migrated)).toEqual([`tree ${lost}`])
  expect(migrated.damage[0]?.reason).toMatch(
    /the result of a datum of pipeline .* \(tag [0-9a-f]{68}\)/,
  )
  expect(migrated.summary?.counts?.results).toBeLessThan(50n)
  expect(withoutOpen(await servedContents(pachd))).toEqual(
    withoutOpen(expectedContents(cluster.expected)),
  )
})

test('a record that cannot be read is told, and what depends on it', async () => {
  await using cluster = await UnpackedCluster.unpack('1.4.8')
  const bytes = await readFile(cluster.etcd)
  const [id = ''] = Object.keys(cluster.expected.repos['records']?.commits ?? {})
  const record = `commit:<repo:<name:"records" > id:"${id}" >`
  for (let at = bytes.indexOf(record); at !== -1; at = bytes.indexOf(record, at + 1)) {
    bytes.write('commit:!', at)
  }
  await writeFile(cluster.etcd, bytes)
  await using pachd = await TestPachd.start()
  const migrated = await migrate(pachd, cluster, { ...request, skipDamaged: true })
  expect(told(migrated)).toEqual([
    'branch records@master',
    `commit pachyderm_pfs/commits/records/${id}`,
    `metadata ${cluster.etcd}`,
    'pipeline nested',
  ])
  const served = await servedContents(pachd)
  const expected = { ...expectedContents(cluster.expected), records: served['records'] } as Contents
  expect(withoutOpen(served)).toEqual(withoutOpen(expected))
})

test.each(['files', 'blocks', 'compacted'] as const)(
  'any flipped bit, and any object that is gone, in a store of %s is told, and the rest comes',
  async (layout) => {
    await using directory = await TemporaryDirectory.create()
    const writer = new OldClusterWriter(directory.path, { layout, isText: false })
    await writer.begin()
    const repo = { name: 'data' }
    writer.record('pachyderm_pfs/repos/data', RepoInfoSchema, { repo })
    const files = new Map<string, readonly string[]>()
    /** What objects are for, and their ends in the one block of a compacted store. */
    const objects: { readonly hash: string; readonly path: string; readonly end: number }[] = []
    let end = 0
    for (const path of ['/a', '/b', '/d/c']) {
      const bytes = Buffer.from(`content of ${path}`)
      const hash = await writer.putObject(bytes)
      files.set(path, [hash])
      end += bytes.length
      objects.push({ hash, path, end })
    }
    const { hash, sizeBytes } = await writer.putTree(files)
    objects.push({ hash, path: 'tree', end: Number.POSITIVE_INFINITY })
    const id = '0123456789ab4def0123456789abcdef'
    /** Those that a file of the store has a part of. */
    const spoiltBy = (path: string, at: number | 'gone'): typeof objects => {
      const [kind, name] = [basename(dirname(path)), basename(path)]
      if (kind === 'index') return objects.filter((one) => one.hash.startsWith(name))
      if (kind === 'object') return objects.filter((one) => one.hash === name)
      if (layout !== 'compacted') return objects.filter((one) => blockName(one.hash) === name)
      return at === 'gone' ? objects : objects.filter((one) => at < one.end).slice(0, 1)
    }
    const expectedOf = (spoilt: typeof objects): readonly string[] =>
      spoilt.some(({ path }) => path === 'tree')
        ? [`commit data/${id}`, `tree ${hash}`]
        : inOrder(spoilt.flatMap((one) => [`object ${one.hash}`, `file data/${id}:${one.path}`]))
    const time = { seconds: 1_500_000_000n, nanos: 0 }
    writer.record(`pachyderm_pfs/commits/data/${id}`, CommitInfoSchema, {
      commit: { repo, id },
      started: time,
      finished: time,
      sizeBytes: BigInt(sizeBytes),
      tree: { hash },
    })
    await writer.finish()
    await using pachd = await TestPachd.start()
    for (const entry of await readdir(writer.storage, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const path = join(entry.parentPath, entry.name)
      const whole = await readFile(path)
      for (const at of [0, Math.floor(whole.length / 2), whole.length - 1, 'gone'] as const) {
        if (at === 'gone') await rm(path)
        else await flipBit(path, at)
        const migrated = await migrate(pachd, writer, { skipDamaged: true })
        const spoilt = spoiltBy(path, at)
        expect({ path, at, told: told(migrated) }).toEqual({ path, at, told: expectedOf(spoilt) })
        const { commits = {} } = (await servedContents(pachd))['data'] ?? {}
        const isTreeLost = spoilt.some((one) => one.path === 'tree')
        const left = [...files.keys()].filter((one) => !spoilt.some(({ path: p }) => p === one))
        expect(Object.keys(commits)).toEqual(isTreeLost ? [] : [id])
        expect(Object.keys(commits[id]?.files ?? {}).toSorted()).toEqual(isTreeLost ? [] : left)
        await writeFile(path, whole)
        await pachd.pfs.deleteRepo({ repo })
        await pachd.migrations.abandonMigration({})
      }
    }
    const { damage } = await migrate(pachd, writer, {})
    expect(damage).toEqual([])
  },
)
