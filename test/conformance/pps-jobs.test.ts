import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { DatumState, JobState, PipelineState } from '../../src/gen/pps_pb.ts'
import { freshName, freshRepo, refused } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, getText } from '../harness/files.ts'
import { atomOf, flush, freshPipeline, jobsOf, lastJobOf, outputOf } from '../harness/pipelines.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

const master = (repo: string) => ({ repo, branch: 'master' })
const copy = 'cp -r $PFS/in/. $PFS/out/'

describe('jobs', () => {
  test('only changed datums are processed, deleted inputs leave the output', async () => {
    const repo = await freshRepo(pachd)
    const pipeline = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1', b: '2', c: '3' }))
    const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    await pachd.pfs.deleteFile({ file: { commit: commitOf(repo, id), path: 'a' } })
    await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
    await flush(pachd, repo, id)
    expect(await lastJobOf(pachd, pipeline)).toMatchObject({
      state: JobState.JOB_SUCCESS,
      dataProcessed: 0n,
      dataSkipped: 2n,
      dataTotal: 2n,
    })
    expect(await outputOf(pachd, pipeline)).toEqual({ '/b': '2', '/c': '3' })
  })

  test('a job names its input, its output and what started it', async () => {
    const repo = await freshRepo(pachd)
    const pipeline = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
    const first = await commitFiles(pachd, master(repo), { a: '1' })
    await flush(pachd, repo, first)
    const earlier = await lastJobOf(pachd, pipeline)
    const commit = await commitFiles(pachd, master(repo), { b: '1' })
    await flush(pachd, repo, commit)
    const job = await lastJobOf(pachd, pipeline)
    expect(job.input?.atom).toMatchObject({ repo, name: 'in', branch: 'master', commit })
    expect(job.newBranch).toMatchObject({ name: 'master', head: { id: commit } })
    expect(job.parentJob?.id).toBe(earlier.job?.id)
    expect(job.stats?.uploadBytes).toBe(1n)
    const output = await pachd.pfs.inspectCommit({ commit: commitOf(pipeline, 'master') })
    expect(output.commit?.id).toBe(job.outputCommit?.id)
    expect(output.parentCommit?.id).toBe(earlier.outputCommit?.id)
    expect(output.provenance.map(({ id }) => id)).toEqual([commit])
  })

  test('inspect-job waits for the end of a job when it is asked to', async () => {
    const repo = await freshRepo(pachd)
    const pipeline = await freshPipeline(pachd, 'sleep 0.2', atomOf(repo, '/'))
    await commitFiles(pachd, master(repo), { a: '1' })
    const { job } = await lastJobOf(pachd, pipeline)
    const ended = await pachd.pps.inspectJob({ job: { id: job?.id ?? '' }, blockState: true })
    expect(ended.state).toBe(JobState.JOB_SUCCESS)
  })

  test('stop-job kills what runs, and the job stays killed', async () => {
    const repo = await freshRepo(pachd)
    const pipeline = await freshPipeline(pachd, 'sleep 1000', atomOf(repo, '/'))
    await commitFiles(pachd, master(repo), { a: '1' })
    const { job } = await lastJobOf(pachd, pipeline)
    const id = job?.id ?? ''
    await expect
      .poll(async () => (await pachd.pps.inspectJob({ job: { id } })).workerStatus, {
        timeout: 60_000,
      })
      .toMatchObject([
        { workerId: `${pipeline}-0`, jobId: id, data: [{ path: '' }], queueSize: 0n },
      ])
    await pachd.pps.stopJob({ job: { id } })
    const ended = await pachd.pps.inspectJob({ job: { id }, blockState: true })
    expect(ended).toMatchObject({ state: JobState.JOB_KILLED, workerStatus: [] })
    await using directory = await TemporaryDirectory.create()
    const { port } = pachd
    const again = await pachctlHere(['stop-job', id], { port, home: directory.path })
    expect(again).toMatchObject({ code: 0, out: `job ${id} has ended already (killed)\n`, err: '' })
    await pachd.pps.deleteJob({ job: { id } })
    await expect(pachd.pps.inspectJob({ job: { id } })).rejects.toEqual(
      refused('not-found', `jobs/ ${id} not found`),
    )
  })

  test('datums are listed in order with their state, and can be inspected', async () => {
    const repo = await freshRepo(pachd)
    const code = 'test ! -e $PFS/in/bad; cp $PFS/in/* $PFS/out'
    const pipeline = await freshPipeline(pachd, code, atomOf(repo, '/*', 'in'))
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1' }))
    const commit = await commitFiles(pachd, master(repo), { b: '2', bad: '3' })
    await expect(flush(pachd, repo, commit)).rejects.toThrow(/datum .*in:\/bad.* failed/)
    const { job } = await lastJobOf(pachd, pipeline)
    const { datumInfo } = await pachd.pps.listDatum({ job: { id: job?.id ?? '' } })
    expect(datumInfo.map(({ data, state }) => [data[0]?.path, state])).toEqual([
      ['/a', DatumState.SKIPPED],
      ['/b', DatumState.SUCCESS],
      ['/bad', DatumState.FAILED],
    ])
    const batches = await collect(pachd.jobs.listDatums({ job: { id: job?.id ?? '' } }))
    expect(batches.flatMap((batch) => batch.datumInfo)).toEqual(datumInfo)
    const datum = datumInfo[2]?.datum
    const inspected = await pachd.pps.inspectDatum({
      datum: { id: datum?.id ?? '', job: { id: job?.id ?? '' } },
    })
    expect(inspected).toMatchObject({ state: DatumState.FAILED })
    expect(inspected.reason).not.toBe('')
    // The job made none.
    expect(inspected.pfsState?.commit).toMatchObject({ repo: { name: pipeline }, id: '' })
  })

  test('an output file is traced to its input files', async () => {
    const repo = await freshRepo(pachd)
    const pipeline = await freshPipeline(
      pachd,
      'cat $PFS/in/* >> $PFS/out/all',
      atomOf(repo, '/*', 'in'),
    )
    const commit = await commitFiles(pachd, master(repo), { a: '1', b: '2' })
    await flush(pachd, repo, commit)
    const { origins } = await pachd.jobs.lineage({
      file: { commit: commitOf(pipeline, 'master'), path: 'all' },
    })
    expect(origins.map(({ inputs }) => inputs.map(({ file }) => file?.path))).toEqual([
      ['/a'],
      ['/b'],
    ])
    expect(origins[0]?.inputs[0]?.file?.commit).toMatchObject({ repo: { name: repo }, id: commit })
  })
})

describe('pipelines', () => {
  test('an output repo is made with the inputs as provenance, its branch only with a commit', async () => {
    const repo = await freshRepo(pachd)
    const name = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'), {
      description: 'words',
    })
    const info = await pachd.pfs.inspectRepo({ repo: { name } })
    expect(info.provenance.map((source) => source.name)).toEqual([repo])
    const pipeline = await pachd.pps.inspectPipeline({ pipeline: { name } })
    expect(pipeline).toMatchObject({
      state: PipelineState.PIPELINE_RUNNING,
      version: 1n,
      outputBranch: 'master',
      cacheSize: '64M',
      description: 'words',
      input: { atom: { repo, branch: 'master', name: 'in', glob: '/*' } },
    })
    expect(pipeline.transform?.image).toBe('ubuntu:16.04')
    expect((await pachd.pfs.listBranch({ repo: { name } })).branchInfo).toEqual([])
  })

  test('a chain is processed to its end, on the output branch that the spec names', async () => {
    const repo = await freshRepo(pachd)
    const outputBranch = 'results'
    const one = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'), { outputBranch })
    const input = { atom: { repo: one, branch: outputBranch, glob: '/', name: 'in' } }
    const two = await freshPipeline(pachd, 'cat $PFS/in/* > $PFS/out/all', input)
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1', b: '2' }))
    const file = { commit: commitOf(two, 'master'), path: 'all' }
    expect(await getText(pachd, file)).toBe('12')
  })

  test('the deprecated inputs are a cross', async () => {
    const repo = await freshRepo(pachd)
    const name = freshName('pipeline')
    await pachd.pps.createPipeline({
      pipeline: { name },
      transform: { cmd: ['true'] },
      inputs: [{ name: 'in', repo: { name: repo }, branch: 'master', glob: '/*' }],
    })
    const { input } = await pachd.pps.inspectPipeline({ pipeline: { name } })
    expect(input?.cross[0]?.atom).toMatchObject({ name: 'in', repo })
  })

  test('a stopped pipeline makes no jobs; started, it catches up', async () => {
    const repo = await freshRepo(pachd)
    const name = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
    await pachd.pps.stopPipeline({ pipeline: { name } })
    const commit = await commitFiles(pachd, master(repo), { a: '1' })
    expect(await jobsOf(pachd, name)).toEqual([])
    const { state } = await pachd.pps.inspectPipeline({ pipeline: { name } })
    expect(state).toBe(PipelineState.PIPELINE_PAUSED)
    await pachd.pps.startPipeline({ pipeline: { name } })
    await flush(pachd, repo, commit)
    expect(await outputOf(pachd, name)).toEqual({ '/a': '1' })
  })

  test('an update makes a new version; reprocessing runs everything again', async () => {
    const repo = await freshRepo(pachd)
    const name = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1' }))
    const spec = {
      pipeline: { name },
      transform: { cmd: ['sh', '-c', 'echo new > $PFS/out/n'] },
      input: atomOf(repo, '/*', 'in'),
      update: true,
    }
    await pachd.pps.createPipeline(spec)
    expect((await pachd.pps.inspectPipeline({ pipeline: { name } })).version).toBe(2n)
    expect(await jobsOf(pachd, name)).toHaveLength(1)
    await pachd.pps.createPipeline({ ...spec, reprocess: true })
    const { job } = await lastJobOf(pachd, name)
    await pachd.pps.inspectJob({ job: { id: job?.id ?? '' }, blockState: true })
    expect(await outputOf(pachd, name)).toEqual({ '/n': 'new\n' })
    expect(await outputOf(pachd, name, 'master-v2')).toEqual({ '/a': '1' })
  })

  test('a deleted pipeline is gone; its repo and jobs go when asked', async () => {
    const repo = await freshRepo(pachd)
    const name = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1' }))
    await pachd.pps.deletePipeline({ pipeline: { name }, deleteJobs: true, deleteRepo: true })
    await expect(pachd.pps.inspectPipeline({ pipeline: { name } })).rejects.toEqual(
      refused('not-found', 'not found'),
    )
    await expect(pachd.pfs.inspectRepo({ repo: { name } })).rejects.toEqual(
      refused('not-found', 'not found'),
    )
    expect(await jobsOf(pachd, name)).toEqual([])
  })
})
