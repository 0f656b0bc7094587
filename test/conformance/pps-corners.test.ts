import { timestampMs } from '@bufbuild/protobuf/wkt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  DatumState,
  type JobInfo,
  JobState,
  type LogMessage,
  PipelineState,
} from '../../src/gen/pps_pb.ts'
import { freshName, freshRepo } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf } from '../harness/files.ts'
import { atomOf, flush, freshPipeline, jobsOf, lastJobOf, outputOf } from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

const master = (repo: string) => ({ repo, branch: 'master' })
/** A loaded machine takes its time. */
const patient = { timeout: 60_000 }
const copy = 'cp -r $PFS/in/. $PFS/out/'

async function inspectJob({ job }: Pick<JobInfo, 'job'>, blockState = false): Promise<JobInfo> {
  return await pachd.pps.inspectJob({ job: { id: job?.id ?? '' }, blockState })
}

function timeOf({ ts }: Pick<LogMessage, 'ts'>): number {
  return ts === undefined ? Number.NaN : timestampMs(ts) + (ts.nanos % 1_000_000) / 1_000_000
}

/** Waits until a worker runs user code for the newest job of a pipeline. */
async function runningJob(pipeline: string): Promise<JobInfo> {
  const job = await lastJobOf(pachd, pipeline)
  await expect
    .poll(async () => (await inspectJob(job)).workerStatus[0]?.queueSize, patient)
    .toBe(0n)
  return await inspectJob(job)
}

describe('jobs', () => {
  test('without any datum they succeed, with an empty output', async () => {
    const repo = await freshRepo(pachd)
    const none = atomOf(repo, '/none*', 'none')
    const plain = await freshPipeline(pachd, 'exit 1', none)
    const cross = await freshPipeline(pachd, 'exit 1', { cross: [none, atomOf(repo, '/*', 'in')] })
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1' }))
    for (const pipeline of [plain, cross]) {
      const job = await lastJobOf(pachd, pipeline)
      expect(job).toMatchObject({ state: JobState.JOB_SUCCESS, dataTotal: 0n, dataProcessed: 0n })
      expect(await outputOf(pachd, pipeline)).toEqual({})
    }
  })

  test('are counted by state, also when they are stopped or deleted', async () => {
    const repo = await freshRepo(pachd)
    const code = 'if [ -e $PFS/in/slow ]; then sleep 1000; fi; test ! -e $PFS/in/bad'
    const name = await freshPipeline(pachd, code, atomOf(repo, '/', 'in'), { datumTries: 1n })
    const counts = async () => (await pachd.pps.inspectPipeline({ pipeline: { name } })).jobCounts
    expect(await counts()).toEqual({})
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { good: '' }))
    const bad = await commitFiles(pachd, master(repo), { bad: '' })
    await expect(flush(pachd, repo, bad)).rejects.toThrow('exit code 1')
    await commitFiles(pachd, master(repo), { slow: '' })
    const { job } = await lastJobOf(pachd, name)
    await pachd.pps.stopJob({ job: { id: job?.id ?? '' } })
    const ended = { [JobState.JOB_SUCCESS]: 1, [JobState.JOB_FAILURE]: 1 }
    expect(await counts()).toEqual({ ...ended, [JobState.JOB_KILLED]: 1 })
    await pachd.pps.deleteJob({ job: { id: job?.id ?? '' } })
    expect(await counts()).toEqual(ended)
  })

  test('that wait have all that clients of 1.5 look at', async () => {
    const repo = await freshRepo(pachd)
    const name = await freshPipeline(pachd, 'sleep 1000', atomOf(repo, '/', 'in'))
    await commitFiles(pachd, master(repo), { a: '1' })
    await commitFiles(pachd, master(repo), { b: '1' })
    const [waiting, running] = await jobsOf(pachd, name)
    const { salt } = await pachd.pps.inspectPipeline({ pipeline: { name } })
    expect(waiting).toMatchObject({
      state: JobState.JOB_STARTING,
      pipeline: { name },
      pipelineVersion: 1n,
      salt,
      parentJob: running?.job,
      outputRepo: { name },
      outputBranch: 'master',
      restart: 0n,
      dataTotal: 0n,
      stats: { downloadBytes: 0n },
      workerStatus: [],
    })
    expect(waiting?.started).toBeDefined()
    expect(waiting?.finished).toBeUndefined()
    expect(waiting?.outputCommit).toBeUndefined()
    await pachd.pps.deletePipeline({ pipeline: { name }, deleteJobs: true, deleteRepo: true })
  })

  test('of a pipeline that is not there are none', async () => {
    expect(await jobsOf(pachd, 'nope')).toEqual([])
  })

  test('run one datum at a time where the coefficient gives less than one', async () => {
    const repo = await freshRepo(pachd)
    const name = freshName('pipeline')
    await pachd.pps.createPipeline({
      pipeline: { name },
      transform: { cmd: ['sh', '-c', 'echo begun; sleep 0.05; echo ended'] },
      parallelismSpec: { coefficient: 1e-6 },
      input: atomOf(repo, '/*'),
    })
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1', b: '2', c: '3' }))
    const lines = await collect(pachd.pps.getLogs({ pipeline: { name } }))
    const inTime = lines.toSorted((left, right) => timeOf(left) - timeOf(right))
    const texts = inTime.map(({ message }) => message)
    expect(texts.join('')).toBe('begun\nended\n'.repeat(3))
  })
})

test('a datum that was skipped has stats and a place of its files, as clients of 1.5 need', async () => {
  const repo = await freshRepo(pachd)
  const name = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
  await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1' }))
  await flush(pachd, repo, await commitFiles(pachd, master(repo), { b: '2' }))
  const { job, outputCommit } = await lastJobOf(pachd, name)
  const { datumInfo } = await pachd.pps.listDatum({ job: { id: job?.id ?? '' } })
  const skipped = datumInfo.find(({ state }) => state === DatumState.SKIPPED)
  const datum = { id: skipped?.datum?.id ?? '', job: { id: job?.id ?? '' } }
  const inspected = await pachd.pps.inspectDatum({ datum })
  expect(inspected).toMatchObject({
    datum,
    state: DatumState.SKIPPED,
    data: [{ path: '/a' }],
    pfsState: { commit: { repo: { name }, id: outputCommit?.id } },
  })
  expect(inspected.stats).toBeDefined()
})

test('logs are of datums that have all files, by path or hash; of the master there are none', async () => {
  const repo = await freshRepo(pachd)
  const members = [atomOf(repo, '/a', 'left'), atomOf(repo, '/[bc]', 'right')]
  const code = 'echo $(cd $PFS; ls right)'
  const name = await freshPipeline(pachd, code, { cross: members })
  await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1', b: '2', c: '3' }))
  const logs = async (dataFilters: string[]) =>
    await collect(pachd.pps.getLogs({ pipeline: { name }, dataFilters }))
  const [line] = await logs(['/a', '/b'])
  expect(line?.message).toBe('b\n')
  const hash = Buffer.from(line?.data.find(({ path }) => path === '/b')?.hash ?? [])
  expect(hash).toHaveLength(32)
  for (const text of [hash.toString('hex'), hash.toString('base64')]) {
    expect(await logs(['/a', text])).toEqual([line])
  }
  expect(await logs(['/b', '/c'])).toEqual([])
  expect(await logs([])).toHaveLength(2)
  expect(await collect(pachd.pps.getLogs({ pipeline: { name }, master: true }))).toEqual([])
})

describe('pipelines', () => {
  test('begin behind the commit that the inputs of before 1.4.6 name, too', async () => {
    const repo = await freshRepo(pachd)
    const first = await commitFiles(pachd, master(repo), { a: '1' })
    const second = await commitFiles(pachd, master(repo), { b: '2' })
    const pipeline = { name: freshName('pipeline') }
    const from = commitOf(repo, first)
    await pachd.pps.createPipeline({
      pipeline,
      transform: { cmd: ['true'] },
      inputs: [{ name: 'in', repo: { name: repo }, glob: '/*', from }],
    })
    await flush(pachd, repo, second)
    const { input } = await pachd.pps.inspectPipeline({ pipeline })
    expect(input?.cross[0]?.atom).toMatchObject({ branch: 'master', fromCommit: first })
    const jobs = await jobsOf(pachd, pipeline.name)
    expect(jobs.map(({ newBranch }) => newBranch?.head?.id)).toEqual([second])
  })

  test('read the commits that come, whichever an input names', async () => {
    const repo = await freshRepo(pachd)
    const first = await commitFiles(pachd, master(repo), { a: '1' })
    const name = await freshPipeline(pachd, copy, {
      atom: { name: 'in', repo, glob: '/*', commit: first },
    })
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { b: '2' }))
    const { input } = await pachd.pps.inspectPipeline({ pipeline: { name } })
    expect(input?.atom?.commit).toBe('')
    expect(await outputOf(pachd, name)).toEqual({ '/a': '1', '/b': '2' })
  })

  test('that are stopped let go of what runs, and go on with the same job', async () => {
    const repo = await freshRepo(pachd)
    const name = await freshPipeline(pachd, 'sleep 1000', atomOf(repo, '/', 'in'))
    await commitFiles(pachd, master(repo), { a: '1' })
    const { job } = await runningJob(name)
    await pachd.pps.stopPipeline({ pipeline: { name } })
    await expect.poll(async () => (await inspectJob({ job })).workerStatus, patient).toEqual([])
    expect((await inspectJob({ job })).finished).toBeUndefined()
    await pachd.pps.startPipeline({ pipeline: { name } })
    expect((await runningJob(name)).job).toEqual(job)
    expect(await jobsOf(pachd, name)).toHaveLength(1)
    await pachd.pps.deletePipeline({ pipeline: { name }, deleteJobs: true, deleteRepo: true })
  })

  test('are started by an update, which keeps their salt and moves their provenance', async () => {
    const [repo, other] = [await freshRepo(pachd), await freshRepo(pachd)]
    const name = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
    const last = await freshPipeline(pachd, copy, atomOf(name, '/*', 'in'))
    await pachd.pps.stopPipeline({ pipeline: { name } })
    const before = await pachd.pps.inspectPipeline({ pipeline: { name } })
    const transform = { cmd: ['sh', '-e'], stdin: [copy] }
    const spec = { pipeline: { name }, transform, input: atomOf(other, '/*', 'in'), update: true }
    await pachd.pps.createPipeline(spec)
    const after = await pachd.pps.inspectPipeline({ pipeline: { name } })
    const state = PipelineState.PIPELINE_RUNNING
    expect(after).toMatchObject({ state, version: 2n, salt: before.salt })
    const provenance = async (repoName: string) =>
      (await pachd.pfs.inspectRepo({ repo: { name: repoName } })).provenance.map((one) => one.name)
    expect(await provenance(name)).toEqual([other])
    expect((await provenance(last)).toSorted()).toEqual([name, other].toSorted())
    await pachd.pps.createPipeline({ ...spec, reprocess: true })
    const { salt } = await pachd.pps.inspectPipeline({ pipeline: { name } })
    expect(salt).toMatch(/^[0-9a-f]{32}$/)
    expect(salt).not.toBe(before.salt)
  })

  test('that read other branches now kill all jobs of before, whoever waits hears of it', async () => {
    const [repo, other] = [await freshRepo(pachd), await freshRepo(pachd)]
    const name = await freshPipeline(pachd, 'sleep 1000', atomOf(repo, '/', 'in'))
    await commitFiles(pachd, master(repo), { a: '1' })
    await commitFiles(pachd, master(repo), { b: '1' })
    const ends = (await jobsOf(pachd, name)).map((job) => inspectJob(job, true))
    await pachd.pps.createPipeline({
      pipeline: { name },
      transform: { cmd: ['true'] },
      input: atomOf(other, '/', 'in'),
      update: true,
    })
    const ended = { state: JobState.JOB_KILLED, reason: `pipeline ${name} was updated` }
    expect(await Promise.all(ends)).toMatchObject([ended, ended])
  })

  test('that are deleted leave repo and jobs, unless told; their name finds the repo again', async () => {
    const repo = await freshRepo(pachd)
    const code = `if [ -e $PFS/in/slow ]; then sleep 1000; fi; ${copy}`
    const name = await freshPipeline(pachd, code, atomOf(repo, '/', 'in'))
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1' }))
    await commitFiles(pachd, master(repo), { slow: '' })
    await pachd.pps.deletePipeline({ pipeline: { name } })
    const states = (await jobsOf(pachd, name)).map(({ state }) => state)
    expect(states).toEqual([JobState.JOB_KILLED, JobState.JOB_SUCCESS])
    expect(await outputOf(pachd, name)).toEqual({ '/a': '1' })
    const again = { pipeline: { name }, transform: { cmd: ['true'] }, input: atomOf(repo, '/') }
    await pachd.pps.createPipeline(again)
    const info = await pachd.pps.inspectPipeline({ pipeline: { name } })
    expect(info).toMatchObject({ version: 1n })
    expect(await outputOf(pachd, name, 'master')).toEqual({ '/a': '1' })
  })

  test('are listed with the one first that was written last', async () => {
    const repo = await freshRepo(pachd)
    const names: string[] = []
    for (let index = 0; index < 3; index += 1) {
      names.push(await freshPipeline(pachd, copy, atomOf(repo, '/', 'in')))
    }
    const [first = '', ...others] = names
    await pachd.pps.stopPipeline({ pipeline: { name: first } })
    const { pipelineInfo } = await pachd.pps.listPipeline({})
    const listed = pipelineInfo.slice(0, 3).map(({ pipeline }) => pipeline?.name)
    expect(listed).toEqual([first, ...others.toReversed()])
  })

  test('go all with their repos, or by DeleteAll with all jobs and no repo', async () => {
    await using own = await TestPachd.start()
    const repo = await freshRepo(own)
    const commit = await commitFiles(own, master(repo), { a: '1' })
    const repos = async () =>
      (await own.pfs.listRepo({})).repoInfo.map((info) => info.repo?.name ?? '').toSorted()
    await freshPipeline(own, copy, atomOf(repo, '/', 'in'))
    await flush(own, repo, commit)
    await own.pps.deletePipeline({ all: true, deleteRepo: true })
    expect((await own.pps.listPipeline({})).pipelineInfo).toEqual([])
    expect((await own.pps.listJob({})).jobInfo).toHaveLength(1)
    expect(await repos()).toEqual([repo])
    const name = await freshPipeline(own, copy, atomOf(repo, '/', 'in'))
    await flush(own, repo, commit)
    await own.pps.deleteAll({})
    expect((await own.pps.listPipeline({})).pipelineInfo).toEqual([])
    expect((await own.pps.listJob({})).jobInfo).toEqual([])
    expect(await repos()).toEqual([name, repo].toSorted())
    expect(await outputOf(own, name)).toEqual({ '/a': '1' })
  })
})
