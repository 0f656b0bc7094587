import { readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { readOldTree } from '../../src/legacy/old-trees.ts'
import { CommitInfoSchema, RepoInfoSchema } from '../../src/gen/pfs_pb.ts'
import { type JobInfo, JobInfoSchema, JobState } from '../../src/gen/pps_pb.ts'
import { OldClusterWriter } from '../../src/testing/old-cluster-writer.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { UnpackedCluster } from '../harness/old-clusters.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { migrate, type Migrated } from './migrate.ts'
import { logOf } from './migrated.ts'

const request = { force: true, keepPaused: true, killUnfinishedJobs: true }
const resultCount = 50n

/** What was kept of a datum of the pipeline `counted`, which has statistics. */
interface Kept {
  readonly tag: string
  readonly tree: string
  readonly directory: string
  /** The objects of its files `stats` and `logs`. */
  readonly objects: Readonly<Record<string, string>>
}

async function keptIn({ storage }: UnpackedCluster): Promise<Kept> {
  const [tag = ''] = (await readdir(join(storage, 'tag'))).filter((name) => name.endsWith('_stats'))
  const tree = (await readlink(join(storage, 'tag', tag))).split('/').at(-1) ?? ''
  const bytes = await readFile(join(storage, 'object', tree))
  const objects: Record<string, string> = {}
  let directory = ''
  for await (const node of readOldTree(once(bytes))) {
    const [, id = '', file = '', ...below] = node.path.split('/')
    if (node.kind === 'directory' || below.length > 0) continue
    directory = `/${id}`
    objects[file] = node.objects.join()
  }
  return { tag, tree, directory, objects }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes)
}

/** Gives the datum other files there. */
async function replace(
  cluster: UnpackedCluster,
  kept: Kept,
  files: Readonly<Record<'stats' | 'logs', string>>,
): Promise<void> {
  const options = { layout: 'files', isText: false } as const
  const writer = new OldClusterWriter(dirname(cluster.storage), options)
  const tree = new Map<string, readonly string[]>()
  for (const [name, text] of Object.entries(files)) {
    tree.set(`${kept.directory}/${name}`, [await writer.putObject(Buffer.from(text))])
  }
  const { hash } = await writer.putTree(tree)
  await rm(join(cluster.storage, 'tag', kept.tag))
  await writer.putTag(kept.tag, hash)
}

/** It is told once, costs no result, and without the flag nothing comes. */
function expectOneLoss({ damage, summary }: Migrated, reason: RegExp): void {
  expect(damage.map(({ kind, what }) => `${kind} ${what}`)).toEqual([
    expect.stringMatching(/^datum pipeline counted, \/\S+, statistics \(tag [0-9a-f]{68}_stats\)$/),
  ])
  expect(damage[0]?.reason).toMatch(reason)
  expect(summary?.counts).toMatchObject({ damaged: 1n, results: resultCount })
}

const line = (message: string): string =>
  JSON.stringify({ pipelineName: 'counted', user: true, ts: '2026-11-22T03:20:00Z', message })

test('what datums printed and took comes over', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  const kept = await keptIn(cluster)
  await replace(cluster, kept, {
    stats: JSON.stringify({ downloadTime: '1.5s', processTime: '2s', uploadBytes: '7' }),
    logs: `${line('hello\n')}\n${line('there\n')}\n`,
  })
  await using pachd = await TestPachd.start()
  const { damage, summary } = await migrate(pachd, cluster, request)
  expect(damage).toEqual([])
  expect(summary?.counts?.results).toBe(resultCount)
  const log = await logOf(pachd, 'counted')
  expect(log.filter((text) => text === 'hello' || text === 'there')).toEqual(['hello', 'there'])
})

test.each([
  ['tree', /^its statistics and log cannot be read: /],
  ['stats', /^its statistics cannot be read: /],
  ['logs', /^a part of its log cannot be read: /],
] as const)(
  'a lost object of the %s of a datum is damage, and costs no result',
  async (what, reason) => {
    await using cluster = await UnpackedCluster.unpack('1.5.3')
    const kept = await keptIn(cluster)
    await replace(cluster, kept, { stats: '{"processTime":"2s"}', logs: `${line('here')}\n` })
    const changed = await keptIn(cluster)
    const lost = what === 'tree' ? changed.tree : (changed.objects[what] ?? '')
    await rm(join(cluster.storage, 'object', lost))
    await using pachd = await TestPachd.start()
    await expect(migrate(pachd, cluster, request)).rejects.toThrow(/one thing .* --skip-damaged/)
    expectOneLoss(await migrate(pachd, cluster, { ...request, skipDamaged: true }), reason)
    const note = '(a part of the log could not be read in the old cluster)'
    expect((await logOf(pachd, 'counted')).includes(note)).toBe(what === 'logs')
  },
)

test('statistics and lines that are not what 1.5 writes are damage', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  await replace(cluster, await keptIn(cluster), {
    stats: 'no JSON',
    logs: `${line('before')}\nno JSON\n${line('after')}\n`,
  })
  await using pachd = await TestPachd.start()
  expectOneLoss(
    await migrate(pachd, cluster, { ...request, skipDamaged: true }),
    /^its statistics cannot be read: they are not what 1.5 writes; a line of its log cannot be read$/,
  )
  const log = await logOf(pachd, 'counted')
  const at = log.indexOf('before')
  expect(log.slice(at, at + 3)).toEqual([
    'before',
    '(a line could not be read in the old cluster)',
    'after',
  ])
})

test('a log of which not all is kept says where, and the migration says so', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  const lines = Array.from({ length: 20_000 }, (_, at) => line(`line ${at} ${'x'.repeat(60)}`))
  const long = line('y'.repeat(300_000))
  const logs = [...lines.slice(0, 10), long, ...lines.slice(10)].join('\n')
  await replace(cluster, await keptIn(cluster), { stats: '{}', logs })
  await using pachd = await TestPachd.start()
  const { damage, notices } = await migrate(pachd, cluster, request)
  expect(damage).toEqual([])
  expect(notices.join('\n')).toContain(
    'pipeline counted: of one datum the log is longer than what is kept here',
  )
  const log = await logOf(pachd, 'counted')
  expect(log).toContain(`(a line of ${long.length} bytes was not kept here)`)
  expect(log.filter((text) => /^\(\d+ lines were not kept here/.test(text)).length).toBe(1)
  expect(log.some((text) => text.startsWith('line 19999 '))).toBe(true)
})

test('an object of a log whose bytes are others costs its own lines only', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  const kept = await keptIn(cluster)
  await replace(cluster, kept, { stats: '{}', logs: `${line('forged')}\n` })
  const { objects } = await keptIn(cluster)
  await writeFile(join(cluster.storage, 'object', objects['logs'] ?? ''), `${line('other')}\n`)
  await using pachd = await TestPachd.start()
  await migrate(pachd, cluster, { ...request, skipDamaged: true })
  expect(await logOf(pachd, 'counted')).not.toContain('other')
})

/** Names at the top of a commit of the pipeline `counted`. */
async function namesIn(pachd: TestPachd, id: string): Promise<readonly string[]> {
  const commit = { repo: { name: 'counted' }, id }
  const { fileInfo } = await pachd.pfs.listFile({ file: { commit, path: '/' } })
  return fileInfo.map(({ file }) => file?.path.slice(1) ?? '')
}

async function newestJob(pachd: TestPachd): Promise<JobInfo | undefined> {
  const { jobInfo } = await pachd.pps.listJob({ pipeline: { name: 'counted' } })
  return jobInfo[0]
}

test('old jobs have their statistics, and new ones go on with their own names for datums', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  await using pachd = await TestPachd.start()
  await migrate(pachd, cluster, { force: true, killUnfinishedJobs: true })
  const old = await newestJob(pachd)
  const oldStats = old?.statsCommit?.id ?? ''
  const { datumInfo } = await pachd.pps.listDatum({ job: old?.job ?? { id: '' } })
  // The old cluster had another name for it, so that its files are not under this one.
  expect(await namesIn(pachd, oldStats)).toHaveLength(2)
  expect(datumInfo.map(({ pfsState }) => pfsState?.path)).toEqual(['', ''])
  const commit = await pachd.pfs.startCommit({
    parent: { repo: { name: 'right' } },
    branch: 'master',
  })
  const file = { commit, path: 'brand-new' }
  await pachd.pfs.putFile(
    (async function* () {
      yield { file, value: Buffer.from('new\n') }
    })(),
  )
  await pachd.pfs.finishCommit({ commit })
  const job = await newestJob(pachd)
  expect(job?.job?.id).not.toBe(old?.job?.id)
  const ended = await pachd.pps.inspectJob({ job: job?.job ?? { id: '' }, blockState: true })
  expect(ended).toMatchObject({ dataProcessed: 1n, dataTotal: 3n })
  const id = ended.statsCommit?.id ?? ''
  const info = await pachd.pfs.inspectCommit({ commit: { repo: { name: 'counted' }, id } })
  expect(info.parentCommit?.id).toBe(oldStats)
  const datums = await pachd.pps.listDatum({ job: job?.job ?? { id: '' } })
  const wanted = ['stats', ...datums.datumInfo.map(({ datum }) => datum?.id)]
  expect(new Set(await namesIn(pachd, id))).toEqual(new Set(wanted))
})

test('a commit of statistics that was deleted is left out, and that is said', async () => {
  await using directory = await TemporaryDirectory.create()
  const writer = new OldClusterWriter(directory.path, { layout: 'files', isText: false })
  await writer.begin()
  const [data, counted] = [{ name: 'data' }, { name: 'counted' }]
  writer.record('pachyderm_pfs/repos/data', RepoInfoSchema, { repo: data })
  writer.record('pachyderm_pfs/repos/counted', RepoInfoSchema, {
    repo: counted,
    provenance: [data],
  })
  const id = '0123456789ab4def0123456789abcdef'
  const started = { seconds: 1_500_000_000n, nanos: 0 }
  writer.record(`pachyderm_pfs/commits/data/${id}`, CommitInfoSchema, {
    commit: { repo: data, id },
    started,
    finished: started,
    tree: { hash: (await writer.putTree(new Map())).hash },
  })
  const job = { id: '01234567-89ab-4def-8123-456789abcdef' }
  writer.record(`pachyderm_pps/jobs/${job.id}`, JobInfoSchema, {
    job,
    pipeline: counted,
    pipelineVersion: 1n,
    transform: { cmd: ['true'] },
    input: { atom: { name: 'data', repo: 'data', branch: 'master', glob: '/', commit: id } },
    outputRepo: counted,
    outputBranch: 'master',
    started,
    state: JobState.JOB_FAILURE,
    dataTotal: 1n,
    statsCommit: { repo: counted, id: id.replace('0', 'f') },
  })
  await writer.finish()
  await using pachd = await TestPachd.start()
  const { damage, notices } = await migrate(pachd, writer, {})
  expect(damage).toEqual([])
  expect(notices).toEqual([
    `job ${job.id} of pipeline counted ended, and the old cluster does not say when: no end is shown here either`,
    `the commit ${id.replace('0', 'f')} with the statistics of job ${job.id} is not there any more: that is left out`,
  ])
  const info = await pachd.pps.inspectJob({ job })
  expect([info.state, info.finished, info.statsCommit]).toEqual([
    JobState.JOB_FAILURE,
    undefined,
    undefined,
  ])
  const found: string[] = []
  for await (const { event } of pachd.admin.check({ full: true })) {
    if (event.case === 'finding') found.push(event.value.what)
  }
  expect(found).toEqual([])
})
