import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { JobState, type JobInfo } from '../../src/gen/pps_pb.ts'
import { freshRepo, refused } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, getText, putFile } from '../harness/files.ts'
import {
  atomOf,
  flush,
  freshPipeline,
  type InputInit,
  jobsOf,
  lastJobOf,
  outputOf,
} from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

const master = (repo: string) => ({ repo, branch: 'master' })
const code = 'cd $PFS; echo "from $(ls in)"; cp -r in/* out/; ! grep -rq bad in'

type Files = Readonly<Record<string, string>>

/** All files of the stats commit of a job, with ids of datums replaced by the files that they read. */
async function statsOf(job: JobInfo): Promise<Files> {
  const { datumInfo } = await pachd.pps.listDatum({ job: job.job ?? {} })
  const names = new Map(
    datumInfo.map(({ datum, data }) => [datum?.id ?? '', data.map(({ path }) => path).join('+')]),
  )
  const found: Record<string, string> = {}
  const branch = job.statsCommit?.id ?? 'none'
  const files = await outputOf(pachd, job.outputRepo?.name ?? '', branch)
  for (const [path, text] of Object.entries(files)) {
    const [id = '', ...rest] = path.slice(1).split('/')
    const name = id === 'stats' ? id : names.get(id)
    expect(name, `${path} is of a datum of the job`).toBeDefined()
    found[[name, ...rest].join(':')] = text
  }
  return found
}

type Changes = Readonly<Record<string, string | null>>

/** A commit in which files are replaced, or deleted where there is null. */
async function commitChanges(repo: string, files: Changes): Promise<string> {
  const commit = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  for (const [path, content] of Object.entries(files)) {
    await pachd.pfs.deleteFile({ file: { commit, path } })
    if (content !== null) await putFile(pachd, { commit, path }, content)
  }
  await pachd.pfs.finishCommit({ commit })
  return commit.id
}

async function findings(): Promise<readonly object[]> {
  const events = await collect(pachd.admin.check({ full: true }))
  return events.flatMap(({ event }) => (event.case === 'finding' ? [event.value] : []))
}

function withStats(lines: string, input: InputInit): Promise<string> {
  return freshPipeline(pachd, lines, input, { enableStats: true })
}

/** The names of files, without those that every datum has. */
function namesIn(files: Files): readonly string[] {
  return Object.keys(files)
    .filter((name) => !/:(stats|logs)$/.test(name))
    .toSorted()
}

describe('the branch stats', () => {
  test('has what 1.5 has: stats, logs, inputs and outputs of each datum, and stats of all', async () => {
    const repo = await freshRepo(pachd)
    const pipeline = await withStats(code, atomOf(repo, '/*', 'in'))
    const input = await commitFiles(pachd, master(repo), { a: 'one', 'd/b': 'two' })
    await flush(pachd, repo, input)
    const job = await lastJobOf(pachd, pipeline)
    expect(job).toMatchObject({ enableStats: true, statsCommit: { repo: { name: pipeline } } })
    const files = await statsOf(job)
    expect(namesIn(files)).toEqual(
      ['/a:pfs:in:a', '/a:pfs:out:a', '/d:pfs:in:d:b', '/d:pfs:out:d:b', 'stats'].toSorted(),
    )
    expect(files['/a:pfs:in:a']).toBe('one')
    expect(files['/a:pfs:out:a']).toBe('one')
    const [datum] = (await pachd.pps.listDatum({ job: job.job ?? {} })).datumInfo
    expect(JSON.parse(files['/a:stats'] ?? '')).toEqual({
      downloadTime: expect.stringMatching(/^\d+(\.\d{3})?s$/) as string,
      processTime: expect.stringMatching(/^\d+(\.\d{3})?s$/) as string,
      uploadTime: expect.stringMatching(/^\d+(\.\d{3})?s$/) as string,
      downloadBytes: '3',
      uploadBytes: '3',
    })
    expect(JSON.parse(files['/a:logs'] ?? '')).toEqual({
      pipelineName: pipeline,
      jobId: job.job?.id,
      workerId: expect.stringMatching(pipeline) as string,
      inputFileId: datum?.datum?.id,
      user: true,
      data: [{ path: '/a', hash: Buffer.from(datum?.data[0]?.hash ?? []).toString('base64') }],
      ts: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) as string,
      message: 'from a\n',
    })
    const all = JSON.parse(files['stats'] ?? '') as Record<string, Record<string, unknown>>
    expect(all['downloadBytes']).toMatchObject({ count: '2', mean: 3 })
    expect(Object.keys(all['processTime'] ?? {})).toEqual([
      'count',
      'mean',
      'stddev',
      'fifthPercentile',
      'ninetyFifthPercentile',
    ])
    const commit = await pachd.pfs.inspectCommit({ commit: job.statsCommit ?? {} })
    expect(commit.provenance).toEqual([])
    expect(await outputOf(pachd, pipeline, 'stats')).toEqual(
      await outputOf(pachd, pipeline, commit.commit?.id),
    )
  })

  test('InspectDatum says where the files of a datum are', async () => {
    const repo = await freshRepo(pachd)
    const pipeline = await withStats(code, atomOf(repo, '/*', 'in'))
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: 'one' }))
    const { job, statsCommit } = await lastJobOf(pachd, pipeline)
    const [listed] = (await pachd.pps.listDatum({ job: job ?? {} })).datumInfo
    const info = await pachd.pps.inspectDatum({ datum: listed?.datum ?? {} })
    expect(info.pfsState).toMatchObject({ commit: statsCommit, path: `/${listed?.datum?.id}/pfs` })
    const path = `${info.pfsState?.path}/out/a`
    const commit = commitOf(pipeline, statsCommit?.id ?? '')
    expect(await getText(pachd, { commit, path })).toBe('one')
  })

  test('says what was skipped, lets go what is gone, and is made by failed jobs, too', async () => {
    const repo = await freshRepo(pachd)
    const pipeline = await withStats(code, atomOf(repo, '/*', 'in'))
    const put = (files: Changes) => commitChanges(repo, files)
    await flush(pachd, repo, await put({ a: '1', b: '1', c: '1' }))
    await flush(pachd, repo, await put({ a: null, b: '2' }))
    const second = await statsOf(await lastJobOf(pachd, pipeline))
    const skippedC = ['/c:pfs:in:c', '/c:pfs:out:c', '/c:skipped']
    expect(namesIn(second)).toEqual(['/b:pfs:in:b', '/b:pfs:out:b', ...skippedC, 'stats'])
    expect(second['/b:pfs:in:b']).toBe('2')
    expect(JSON.parse(second['stats'] ?? '')).toMatchObject({ processTime: { count: '1' } })
    await expect(flush(pachd, repo, await put({ d: 'bad', e: 'ok' }))).rejects.toThrow('failed')
    const failed = await lastJobOf(pachd, pipeline)
    expect(failed.state).toBe(JobState.JOB_FAILURE)
    const third = await statsOf(failed)
    expect(namesIn(third)).toEqual([
      '/b:pfs:in:b',
      '/b:pfs:out:b',
      '/b:skipped',
      ...skippedC,
      '/d:failure',
      '/d:pfs:in:d',
      '/e:pfs:in:e',
      '/e:pfs:out:e',
      'stats',
    ])
    expect(third['/d:failure']).toMatch(/exit code 1/)
    expect(third['/d:logs']).toContain('from d')
    await flush(pachd, repo, await put({ d: 'good' }))
    const fourth = namesIn(await statsOf(await lastJobOf(pachd, pipeline)))
    expect(fourth).toEqual([
      '/b:pfs:in:b',
      '/b:pfs:out:b',
      '/b:skipped',
      ...skippedC,
      '/d:pfs:in:d',
      '/d:pfs:out:d',
      '/e:pfs:in:e',
      '/e:pfs:out:e',
      '/e:skipped',
      'stats',
    ])
    const commits = (await jobsOf(pachd, pipeline)).map(({ statsCommit }) => statsCommit?.id)
    const history = await pachd.pfs.listCommit({
      repo: { name: pipeline },
      to: commitOf(pipeline, 'stats'),
    })
    expect(history.commitInfo.map(({ commit }) => commit?.id)).toEqual(commits)
    expect(await findings()).toEqual([])
  })

  test('goes on from an update, is the same for groups and unions, and for recovered datums', async () => {
    const repo = await freshRepo(pachd)
    const group = { group: [{ atom: { name: 'in', repo, glob: '/(?)*', groupBy: '$1' } }] }
    const grouped = await withStats('cd $PFS; ls in > out/$(ls in | head -1)', group)
    const twice = { atom: { name: 'in', repo, glob: '/*' } }
    const union = await withStats(code, {
      union: [twice, { atom: { ...twice.atom, glob: '/a*' } }],
    })
    const recovered = await freshPipeline(
      pachd,
      { cmd: ['sh'], stdin: ['! grep -q bad $PFS/in/*'], errCmd: ['true'] },
      atomOf(repo, '/*', 'in'),
      { enableStats: true },
    )
    await flush(
      pachd,
      repo,
      await commitFiles(pachd, master(repo), { a1: 'x', a2: 'y', b: 'bad' }),
    ).catch(() => undefined)
    await flush(pachd, repo, await commitChanges(repo, { a1: null, c: 'z' })).catch(() => undefined)
    expect(
      namesIn(await statsOf(await lastJobOf(pachd, grouped))).map((name) =>
        name.replace(/^[^:]*/, ''),
      ),
    ).toEqual(
      expect.arrayContaining([':pfs:in:a2', ':pfs:out:a2', ':pfs:in:b', ':skipped', ':pfs:in:c']),
    )
    const job = await lastJobOf(pachd, recovered)
    expect(job.state).toBe(JobState.JOB_SUCCESS)
    expect(namesIn(await statsOf(job))).toEqual([
      '/a2:pfs:in:a2',
      '/a2:skipped',
      '/b:failure',
      '/b:pfs:in:b',
      '/c:pfs:in:c',
      'stats',
    ])
    expect(namesIn(await statsOf(await lastJobOf(pachd, union)))).toEqual([
      '/a2:pfs:in:a2',
      '/a2:pfs:out:a2',
      '/a2:skipped',
      '/b:failure',
      '/b:pfs:in:b',
      '/c:pfs:in:c',
      '/c:pfs:out:c',
      'stats',
    ])
    expect(await findings()).toEqual([])
  })

  test('is not made without the flag, and written by nobody else', async () => {
    const repo = await freshRepo(pachd)
    const plain = await freshPipeline(pachd, code, atomOf(repo, '/*', 'in'))
    const pipeline = await withStats(code, atomOf(repo, '/*', 'in'))
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: 'one' }))
    expect((await lastJobOf(pachd, plain)).statsCommit).toBeUndefined()
    const { branchInfo } = await pachd.pfs.listBranch({ repo: { name: plain } })
    expect(branchInfo.map(({ name }) => name)).toEqual(['master'])
    const transform = { cmd: ['true'] }
    const spec = { pipeline: { name: `${pipeline}-2` }, transform, input: atomOf(repo, '/') }
    const making = pachd.pps.createPipeline({ ...spec, outputBranch: 'stats', enableStats: true })
    await expect(making).rejects.toEqual(
      refused('invalid-argument', 'for statistics; choose another'),
    )
  })
})
