import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type JobInfo, JobState } from '../../src/gen/pps_pb.ts'
import { freshName, freshRepo, refused } from '../harness/expectations.ts'
import { commitFiles, commitOf } from '../harness/files.ts'
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
const copy = 'cp -r $PFS/in/. $PFS/out/'
/** A loaded machine takes its time. */
const patient = { timeout: 60_000 }

/** The jobs of a pipeline once they have ended, oldest first. */
async function endedJobs(pipeline: string): Promise<readonly JobInfo[]> {
  const jobs: JobInfo[] = []
  for (const { job } of (await jobsOf(pachd, pipeline)).toReversed()) {
    jobs.push(await pachd.pps.inspectJob({ job: { id: job?.id ?? '' }, blockState: true }))
  }
  return jobs
}

/** The commit that each job was started by, oldest first. */
async function startedBy(pipeline: string): Promise<readonly string[]> {
  return (await endedJobs(pipeline)).map(({ newBranch }) => newBranch?.head?.id ?? '')
}

/** As many commits of one file that each changes. */
async function commits(repo: string, count: number): Promise<readonly string[]> {
  const ids: string[] = []
  for (let number = 1; number <= count; number += 1) {
    ids.push(await commitFiles(pachd, master(repo), { a: `${number}` }))
  }
  return ids
}

describe('jobs', () => {
  test('are made of all commits that a branch holds, oldest first, each the parent of the next', async () => {
    const repo = await freshRepo(pachd)
    const ids = await commits(repo, 4)
    const pipeline = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
    expect(await startedBy(pipeline)).toEqual(ids)
    const jobs = await endedJobs(pipeline)
    expect(jobs.map(({ parentJob }) => parentJob?.id)).toEqual([
      undefined,
      ...jobs.slice(0, -1).map(({ job }) => job?.id),
    ])
    const finished = jobs.map(
      (job) => Number(job.finished?.seconds) * 1e9 + (job.finished?.nanos ?? 0),
    )
    expect(finished).toEqual(finished.toSorted((left, right) => left - right))
  })

  test('wait until each input has a finished commit, and are then made of the newest', async () => {
    const [left, right] = [await freshRepo(pachd), await freshRepo(pachd)]
    const members = [atomOf(left, '/*', 'in1'), atomOf(right, '/*', 'in2')]
    const pipeline = await freshPipeline(pachd, 'true', { cross: members })
    const [, second] = await commits(left, 2)
    const open = await pachd.pfs.startCommit({ parent: commitOf(right, ''), branch: 'master' })
    expect(await jobsOf(pachd, pipeline)).toEqual([])
    await pachd.pfs.finishCommit({ commit: open })
    const [job, ...others] = await endedJobs(pipeline)
    expect(others).toEqual([])
    expect(job?.input?.cross.map(({ atom }) => atom?.commit)).toEqual([second, open.id])
  })

  test('of a diamond read what comes from one commit, and there is one for each', async () => {
    const source = await freshRepo(pachd)
    const ids: string[] = [...(await commits(source, 2))]
    const sides = [
      await freshPipeline(pachd, copy, atomOf(source, '/*', 'in')),
      await freshPipeline(pachd, `sleep 0.2; ${copy}`, atomOf(source, '/*', 'in')),
    ]
    const cross = sides.map((side, index) => atomOf(side, '/*', `in${index}`))
    const joined = await freshPipeline(pachd, 'cat $PFS/in0/a $PFS/in1/a >$PFS/out/a', { cross })
    ids.push(...(await commits(source, 3)))
    await flush(pachd, source, ids.at(-1) ?? '')
    const roots: (readonly string[])[] = []
    for (const { input, outputCommit } of await endedJobs(joined)) {
      const read = input?.cross.map(({ atom }) => commitOf(atom?.repo ?? '', atom?.commit ?? ''))
      const found = new Set<string>()
      for (const commit of read ?? []) {
        const { provenance } = await pachd.pfs.inspectCommit({ commit })
        for (const { repo, id } of provenance) if (repo?.name === source) found.add(id)
      }
      const { provenance } = await pachd.pfs.inspectCommit({ commit: outputCommit ?? {} })
      expect(provenance.filter(({ repo }) => repo?.name === source)).toHaveLength(1)
      roots.push([...found])
    }
    expect(roots).toEqual(ids.map((id) => [id]))
  })

  test('are not made of commits that were read before, and that a branch is set back to', async () => {
    const repo = await freshRepo(pachd)
    const pipeline = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
    const ids = await commits(repo, 2)
    await pachd.pfs.setBranch({ commit: commitOf(repo, ids[0] ?? ''), branch: 'master' })
    const third = await commitFiles(pachd, master(repo), { b: '1' })
    expect(await startedBy(pipeline)).toEqual([...ids, third])
    expect(await outputOf(pachd, pipeline)).toEqual({ '/a': '1', '/b': '1' })
  })

  test('that fail make no commit and start nothing behind them; what was done is not done again', async () => {
    const repo = await freshRepo(pachd)
    const code = `[ ! -e $PFS/in/bad ] || exit 3; ${copy}`
    const pipeline = await freshPipeline(pachd, code, atomOf(repo, '/*', 'in'), { datumTries: 1n })
    const reader = await freshPipeline(pachd, copy, atomOf(pipeline, '/*', 'in'))
    const failing = await commitFiles(pachd, master(repo), { a: '1', bad: '1' })
    await expect(flush(pachd, repo, failing)).rejects.toEqual(
      refused('failed-precondition', /job .* of pipeline .* failed: datum .*bad.*exit code 3/),
    )
    const [failed] = await endedJobs(pipeline)
    expect(failed).toMatchObject({ state: JobState.JOB_FAILURE, dataProcessed: 1n })
    expect(failed?.finished).toBeDefined()
    expect((await pachd.pfs.listCommit({ repo: { name: pipeline } })).commitInfo).toEqual([])
    expect(await jobsOf(pachd, reader)).toEqual([])
    const next = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    await pachd.pfs.deleteFile({ file: { commit: next, path: 'bad' } })
    await pachd.pfs.finishCommit({ commit: next })
    await flush(pachd, repo, next.id)
    expect(await lastJobOf(pachd, pipeline)).toMatchObject({ dataProcessed: 0n, dataSkipped: 1n })
    expect(await outputOf(pachd, reader)).toEqual({ '/a': '1' })
  })

  test('follow an update that reads other datums, of the newest commit', async () => {
    const repo = await freshRepo(pachd)
    const name = await freshPipeline(pachd, copy, atomOf(repo, '/a', 'in'))
    const first = await commitFiles(pachd, master(repo), { a: '1' })
    const second = await commitFiles(pachd, master(repo), { b: '2' })
    await flush(pachd, repo, second)
    const transform = { cmd: ['sh', '-e'], stdin: [copy] }
    const spec = { pipeline: { name }, transform, input: atomOf(repo, '/*', 'in') }
    await pachd.pps.createPipeline({ ...spec, update: true })
    expect(await startedBy(name)).toEqual([first, second, second])
    expect(await lastJobOf(pachd, name)).toMatchObject({ dataProcessed: 1n, dataSkipped: 1n })
    expect(await outputOf(pachd, name)).toEqual({ '/a': '1', '/b': '2' })
    await pachd.pps.createPipeline({ ...spec, update: true, outputBranch: 'other' })
    await endedJobs(name)
    expect(await outputOf(pachd, name, 'other')).toEqual({ '/a': '1', '/b': '2' })
  })

  test('run one after the other in a pipeline, and beside those of others', async () => {
    const repo = await freshRepo(pachd)
    const input = atomOf(repo, '/', 'in')
    const slow = await freshPipeline(
      pachd,
      'until [ -e $PFS/in/go ]; do exec sleep 1000; done',
      input,
    )
    const quick = await freshPipeline(pachd, copy, input)
    await commits(repo, 1)
    await commitFiles(pachd, master(repo), { go: '' })
    await expect.poll(async () => (await endedJobs(quick)).length, patient).toBe(2)
    const states = async () => (await jobsOf(pachd, slow)).map(({ state }) => state)
    await expect.poll(states, patient).toEqual([JobState.JOB_STARTING, JobState.JOB_RUNNING])
    const running = (await jobsOf(pachd, slow)).at(-1)
    await pachd.pps.stopJob({ job: running?.job ?? {} })
    expect((await endedJobs(slow)).map(({ state }) => state)).toEqual([
      JobState.JOB_KILLED,
      JobState.JOB_SUCCESS,
    ])
  })
})

test('a repo of a pipeline’s name is adopted as its output repo', async () => {
  const repo = await freshRepo(pachd)
  const name = freshName('adopted')
  await pachd.pfs.createRepo({ repo: { name }, description: 'mine' })
  const before = await commitFiles(pachd, master(name), { old: '1' })
  const commit = await commitFiles(pachd, master(repo), { a: '1' })
  const transform = { cmd: ['sh', '-e'], stdin: [copy] }
  await pachd.pps.createPipeline({ pipeline: { name }, transform, input: atomOf(repo, '/', 'in') })
  await flush(pachd, repo, commit)
  const { provenance, description } = await pachd.pfs.inspectRepo({ repo: { name } })
  expect(provenance.map((source) => source.name)).toEqual([repo])
  expect(description).toBe('mine')
  const head = await pachd.pfs.inspectCommit({ commit: commitOf(name, 'master') })
  expect(head.parentCommit?.id).toBe(before)
  expect(await outputOf(pachd, name)).toEqual({ '/a': '1' })
})
