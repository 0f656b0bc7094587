import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { SeenPrograms } from '../../src/testing/seen-programs.ts'
import { freshName, freshRepo } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getText } from '../harness/files.ts'
import { atomOf, flush, freshPipeline, jobsOf, lastJobOf, outputOf } from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let programs: SeenPrograms
let pachd: TestPachd
beforeAll(async () => {
  programs = SeenPrograms.make()
  pachd = await TestPachd.start({ programPath: programs.directory })
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
  programs[Symbol.dispose]()
})

const patience = { timeout: 60_000, interval: 50 }

/** Writes what is in /pfs beside out, all on one line. */
const listing = 'cd $PFS; echo $(find * -type f ! -path "out/*" | LC_ALL=C sort) >> out/all'

function master(repo: string): { readonly repo: string; readonly branch: string } {
  return { repo, branch: 'master' }
}

test('a join combines files whose names have the same in common', async () => {
  const [left, right] = [await freshRepo(pachd), await freshRepo(pachd)]
  await commitFiles(pachd, master(left), { 'a-1': '', 'a-2': '', 'b-1': '', 'd-1': '' })
  const commit = await commitFiles(pachd, master(right), { 'x/a': '', 'y/a': '', 'x/c': '' })
  const members = (outer: boolean): { atom: object }[] => [
    { atom: { name: 'l', repo: left, glob: '/(*)-*', joinOn: '$1', outerJoin: outer } },
    { atom: { name: 'r', repo: right, glob: '/*/(*)', joinOn: '$1' } },
  ]
  const inner = await freshPipeline(pachd, listing, { join: members(false) })
  const outer = await freshPipeline(pachd, listing, { join: members(true) })
  await flush(pachd, right, commit)
  const joined = 'l/a-1 r/x/a\nl/a-2 r/x/a\nl/a-1 r/y/a\nl/a-2 r/y/a\n'
  expect(await outputOf(pachd, inner)).toEqual({ '/all': joined })
  expect(await outputOf(pachd, outer)).toEqual({ '/all': `${joined}l/b-1\nl/d-1\n` })
  const next = await commitFiles(pachd, master(right), { 'x/b': '' })
  await flush(pachd, right, next)
  expect(await outputOf(pachd, inner)).toEqual({ '/all': `${joined}l/b-1 r/x/b\n` })
  expect(await outputOf(pachd, outer)).toEqual({ '/all': `${joined}l/b-1 r/x/b\nl/d-1\n` })
  const job = await lastJobOf(pachd, outer)
  expect([job.dataTotal, job.dataProcessed, job.dataSkipped]).toEqual([6n, 1n, 5n])
  const { input } = await pachd.pps.inspectPipeline({ pipeline: { name: outer } })
  expect(input?.join[0]?.atom).toMatchObject({ glob: '/(*)-*', joinOn: '$1', outerJoin: true })
})

test('a group makes one datum of all files that have the same in common', async () => {
  const [left, right] = [await freshRepo(pachd), await freshRepo(pachd)]
  await commitFiles(pachd, master(left), { 'a/1': 'A1', 'a/2': 'A2', 'b/1': 'B1' })
  const commit = await commitFiles(pachd, master(right), { 'a.txt': '', 'c.txt': '' })
  const input = {
    group: [
      { atom: { name: 'l', repo: left, glob: '/(*)/*', groupBy: '$1' } },
      { atom: { name: 'r', repo: right, glob: '/(*).txt', groupBy: '$1' } },
    ],
  }
  const code = `${listing}; echo "$l $r" | sed "s#$PFS#pfs#g" >> $PFS/out/variables`
  const pipeline = await freshPipeline(pachd, code, input)
  await flush(pachd, right, commit)
  expect(await outputOf(pachd, pipeline)).toEqual({
    '/all': 'l/a/1 l/a/2 r/a.txt\nl/b/1\nr/c.txt\n',
    '/variables': 'pfs/l pfs/r\npfs/l \n pfs/r\n',
  })
  await flush(pachd, left, await commitFiles(pachd, master(left), { 'b/2': 'B2' }))
  expect(await outputOf(pachd, pipeline)).toMatchObject({
    '/all': 'l/a/1 l/a/2 r/a.txt\nl/b/1 l/b/2\nr/c.txt\n',
  })
  const job = await lastJobOf(pachd, pipeline)
  expect([job.dataTotal, job.dataProcessed, job.dataSkipped]).toEqual([3n, 1n, 2n])
  const { pfs } = pachd
  await pfs.startCommit({ parent: commitOf(left, ''), branch: 'master' })
  await pfs.deleteFile({ file: fileOf(left, 'master', '/b') })
  await pfs.finishCommit({ commit: commitOf(left, 'master') })
  const { commitInfo } = await pfs.listCommit({ repo: { name: left }, number: 1n })
  await flush(pachd, left, commitInfo[0]?.commit?.id ?? '')
  expect(await outputOf(pachd, pipeline)).toMatchObject({
    '/all': 'l/a/1 l/a/2 r/a.txt\nr/c.txt\n',
  })
})

test('joins and groups may be members of crosses and unions, and files outside a sandbox, too', async () => {
  const [left, right] = [await freshRepo(pachd), await freshRepo(pachd)]
  await commitFiles(pachd, master(left), { 'a-1': '', 'a-2': '', 'b-1': '' })
  const commit = await commitFiles(pachd, master(right), { x: '', y: '' })
  const group = { group: [{ atom: { name: 'g', repo: left, glob: '/(*)-*', groupBy: '$1' } }] }
  const cross = await freshPipeline(pachd, listing, { cross: [group, atomOf(right, '/*', 'h')] })
  await flush(pachd, right, commit)
  expect(await outputOf(pachd, cross)).toEqual({
    '/all': 'g/a-1 g/a-2 h/x\ng/b-1 h/x\ng/a-1 g/a-2 h/y\ng/b-1 h/y\n',
  })
})

test('an atom may be called pfs, and a variable named like it says where its file is', async () => {
  const repo = await freshRepo(pachd)
  const commit = await commitFiles(pachd, master(repo), { 'dir/a b': '' })
  const transform = {
    cmd: ['sh', '-e'],
    stdin: [
      'echo "$in|$PATH_|$in_COMMIT|$PATH_COMMIT|$PPS_PIPELINE_NAME" | sed "s#$PFS#pfs#" > $PFS/out/variables',
    ],
    env: { PATH_: 'mine', in_COMMIT: 'mine, too' },
  }
  const pipeline = await freshPipeline(pachd, transform, {
    cross: [
      { pfs: { name: 'in', repo, glob: '/*/*' } },
      { pfs: { name: 'PATH', repo, glob: '/' } },
      { pfs: { name: 'PATH_', repo, glob: '/' } },
    ],
  })
  await flush(pachd, repo, commit)
  expect(await outputOf(pachd, pipeline)).toEqual({
    '/variables': `pfs/in/dir/a b|mine|mine, too|${commit}|${pipeline}\n`,
  })
})

test('a cron input ticks from its start, and user code finds the time', async () => {
  const name = freshName('pipeline')
  const start = Math.floor(Date.now() / 1000) - 3600
  await pachd.pps.createPipeline({
    pipeline: { name },
    transform: { cmd: ['sh', '-e'], stdin: ['cp $PFS/tick/time $PFS/out/$PACH_JOB_ID'] },
    input: {
      cron: {
        name: 'tick',
        spec: '@every 20m',
        start: { seconds: BigInt(start) },
        timeZone: 'Europe/Berlin',
        missedTicks: 'all',
      },
    },
  })
  const repo = `${name}_tick`
  const commits = await vi.waitFor(async () => {
    const { commitInfo } = await pachd.pfs.listCommit({ repo: { name: repo } })
    expect(commitInfo.length).toBeGreaterThanOrEqual(3)
    return commitInfo.toReversed()
  }, patience)
  for (const [index, { commit }] of commits.slice(0, 3).entries()) {
    const time = new Date((start + (index + 1) * 1200) * 1000).toISOString().replace('.000Z', 'Z')
    expect(await getText(pachd, fileOf(repo, commit?.id ?? '', '/time'))).toBe(`"${time}"`)
  }
  await flush(pachd, repo, commits[2]?.commit?.id ?? '')
  const jobs = await jobsOf(pachd, name)
  expect(jobs.length).toBeGreaterThanOrEqual(3)
  const cron = { name: 'tick', repo, spec: '@every 20m', commit: commits[0]?.commit?.id }
  expect(jobs.at(-1)?.input?.cron).toMatchObject(cron)
  const { input } = await pachd.pps.inspectPipeline({ pipeline: { name } })
  expect(input?.cron).toMatchObject({ start: { seconds: BigInt(start) }, missedTicks: '' })
  await pachd.pps.deletePipeline({ pipeline: { name } })
  const { repoInfo } = await pachd.pfs.listRepo({})
  expect(repoInfo.map((info) => info.repo?.name)).toContain(repo)
})

test('where a group was written from, lineage tells', async () => {
  const repo = await freshRepo(pachd)
  const commit = await commitFiles(pachd, master(repo), { 'a-1': '', 'a-2': '', 'b-1': '' })
  const input = { group: [{ atom: { name: 'in', repo, glob: '/(*)-*', groupBy: '$1' } }] }
  const code = 'cat $PFS/in/* > $PFS/out/$(ls $PFS/in | head -1 | cut -c1)'
  const pipeline = await freshPipeline(pachd, code, input)
  await flush(pachd, repo, commit)
  const { origins } = await pachd.jobs.lineage({ file: fileOf(pipeline, 'master', '/a') })
  const files = origins.flatMap(({ inputs }) => inputs.map(({ file }) => file?.path))
  expect(files).toEqual(['/a-1', '/a-2'])
  const job = { id: origins[0]?.job?.id ?? '' }
  const datum = { job, id: origins[0]?.datumId ?? '' }
  const { data } = await pachd.pps.inspectDatum({ datum })
  expect(data.map(({ path }) => path)).toEqual(['/a-1', '/a-2'])
})

test('an incremental pipeline finds what it wrote, and of its input what is new', async () => {
  const repo = await freshRepo(pachd)
  const name = freshName('pipeline')
  await pachd.pps.createPipeline({
    pipeline: { name },
    transform: { cmd: ['sh', '-e'], stdin: ['cat $PFS/in/* >> $PFS/out/all'] },
    input: atomOf(repo, '/', 'in'),
    incremental: true,
  })
  await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1\n', b: '2\n' }))
  await flush(pachd, repo, await commitFiles(pachd, master(repo), { c: '3\n', a: '4\n' }))
  expect(await outputOf(pachd, name)).toEqual({ '/all': '1\n2\n1\n4\n3\n' })
  expect(await pachd.pps.inspectPipeline({ pipeline: { name } })).toMatchObject({
    incremental: true,
  })
  expect(await lastJobOf(pachd, name)).toMatchObject({ incremental: true })
})

test('a spout writes commits through the API, and what it says is logged', async () => {
  const pipeline = { name: freshName('spout') }
  const lines = [
    'echo one | pachctl put-file $PPS_PIPELINE_NAME master -c a',
    'echo committed',
    'exec sleep 600',
  ]
  const transform = { cmd: ['sh', '-e'], stdin: lines }
  await pachd.pps.createPipeline({ pipeline, transform, spout: {} })
  await vi.waitFor(async () => {
    const logs = await collect(pachd.pps.getLogs({ pipeline }))
    expect(logs.map(({ message }) => message)).toContain('committed\n')
  }, patience)
  expect(await getText(pachd, fileOf(pipeline.name, 'master', 'a'))).toBe('one\n')
  const info = await pachd.pps.inspectPipeline({ pipeline })
  expect(info).toMatchObject({ input: {}, spout: {} })
  expect((await lastJobOf(pachd, pipeline.name)).outputCommit).toBeUndefined()
  await pachd.pps.deletePipeline({ pipeline, deleteJobs: true })
})

test('a check finds all of this whole', async () => {
  const findings: unknown[] = []
  for await (const { event } of pachd.admin.check({ full: true })) {
    if (event.case === 'finding') findings.push(event.value)
  }
  expect(findings).toEqual([])
})
