import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import { DatumState, type JobInfo, JobState, type LogMessage } from '../../src/gen/pps_pb.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { failed, freshName, freshRepo, refused } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, putFile } from '../harness/files.ts'
import { atomOf, flush, freshPipeline, jobsOf, lastJobOf, outputOf } from '../harness/pipelines.ts'
import { TestClient, TestPachd } from '../harness/test-pachd.ts'

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

async function ended(client: Pick<TestClient, 'pps'>, id = ''): Promise<JobInfo> {
  return await client.pps.inspectJob({ job: { id }, blockState: true })
}

/** The newest job of a pipeline, once a worker runs user code for it. */
async function runningJob(client: TestClient, pipeline: string): Promise<string> {
  const { job } = await lastJobOf(client, pipeline)
  const id = job?.id ?? ''
  const queueSize = async (): Promise<bigint | undefined> =>
    (await client.pps.inspectJob({ job: { id } })).workerStatus[0]?.queueSize
  await expect.poll(queueSize, patient).toBe(0n)
  return id
}

describe('jobs', () => {
  test('restart-datum has a running datum tried again, found by all its filters', async () => {
    const repo = await freshRepo(pachd)
    const pipeline = await freshPipeline(pachd, 'sleep 1000', atomOf(repo, '/*', 'in'))
    await commitFiles(pachd, master(repo), { a: '1' })
    const id = await runningJob(pachd, pipeline)
    const { dataFilters, workerStatus } = {
      dataFilters: ['/a', '/b'],
      workerStatus: async () => (await pachd.pps.inspectJob({ job: { id } })).workerStatus,
    }
    await expect(pachd.pps.restartDatum({ job: { id }, dataFilters })).rejects.toEqual(
      refused('not-found', `datum matching filter [/a /b] could not be found for jobID ${id}`),
    )
    await expect(pachd.pps.restartDatum({ job: { id } })).rejects.toEqual(
      refused('invalid-argument', 'restart-datum needs the paths or hashes'),
    )
    const hash = Buffer.from((await workerStatus())[0]?.data[0]?.hash ?? []).toString('hex')
    await pachd.pps.restartDatum({ job: { id }, dataFilters: ['/a', hash] })
    await expect
      .poll(workerStatus, patient)
      .toMatchObject([{ attempt: 2, lastReason: 'it was restarted by a user', queueSize: 0n }])
    await pachd.pps.stopJob({ job: { id } })
  })

  test('CreateJob runs a pipeline on the heads of its inputs, or on commits that are named', async () => {
    const repo = await freshRepo(pachd)
    const first = await commitFiles(pachd, master(repo), { a: '1' })
    const second = await commitFiles(pachd, master(repo), { b: '2' })
    const pipeline = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
    await flush(pachd, repo, second)
    const onHeads = await pachd.pps.createJob({ pipeline: { name: pipeline } })
    expect(await ended(pachd, onHeads.id)).toMatchObject({
      state: JobState.JOB_SUCCESS,
      dataSkipped: 2n,
      input: { atom: { commit: second } },
    })
    const input = { atom: { repo, commit: first } }
    const onFirst = await pachd.pps.createJob({ pipeline: { name: pipeline }, input })
    expect(await ended(pachd, onFirst.id)).toMatchObject({ input: { atom: { commit: first } } })
    expect(await outputOf(pachd, pipeline)).toEqual({ '/a': '1' })
  })

  test('CreateJob finds commits in whatever the input is made of', async () => {
    const [left, right] = [await freshRepo(pachd), await freshRepo(pachd)]
    const old = await commitFiles(pachd, master(left), { a: '1' })
    await commitFiles(pachd, master(left), { a: '2' })
    await commitFiles(pachd, master(right), { a: '1' })
    const atoms = [left, right].map((repo) => atomOf(repo, '/(*)', repo))
    for (const [kind, key] of [
      ['join', 'joinOn'],
      ['group', 'groupBy'],
    ] as const) {
      const members = atoms.map(({ atom }) => ({ atom: { ...atom, [key]: '$1' } }))
      const name = await freshPipeline(pachd, 'true', { [kind]: members })
      const [{ atom: first }] = members as [(typeof members)[0]]
      const input = { [kind]: [{ atom: { ...first, commit: old } }] }
      const { id } = await pachd.pps.createJob({ pipeline: { name }, input })
      const { newBranch } = await ended(pachd, id)
      expect(newBranch?.head?.id).toBe(old)
    }
  })

  test('RerunPipeline makes a job over the heads, or over the commits to include', async () => {
    const repo = await freshRepo(pachd)
    const first = await commitFiles(pachd, master(repo), { a: '1' })
    const second = await commitFiles(pachd, master(repo), { b: '2' })
    const name = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
    const pipeline = { name }
    await flush(pachd, repo, second)
    const { rerunPipeline } = pachd.pps
    for (const [include, commit, files] of [
      [[], second, { '/a': '1', '/b': '2' }],
      [[commitOf(repo, first)], first, { '/a': '1' }],
    ] as const) {
      await rerunPipeline({ pipeline, include: [...include] })
      const { job } = await lastJobOf(pachd, name)
      expect(await ended(pachd, job?.id)).toMatchObject({
        state: JobState.JOB_SUCCESS,
        dataProcessed: 0n,
        input: { atom: { commit } },
      })
      expect(await outputOf(pachd, name)).toEqual(files)
    }
    const exclude = [commitOf(repo, first)]
    await expect(rerunPipeline({ pipeline, exclude })).rejects.toEqual(
      refused('invalid-argument', 'exclude cannot be given'),
    )
    await expect(rerunPipeline({ pipeline, include: [{}] })).rejects.toEqual(
      refused('invalid-argument', 'include.repo.name'),
    )
    const include = [first, second].map((id) => commitOf(repo, id))
    await expect(rerunPipeline({ pipeline, include })).rejects.toEqual(
      refused('invalid-argument', `two commits of repo ${repo} were named`),
    )
    await expect(rerunPipeline({ pipeline: { name: 'none' } })).rejects.toEqual(
      refused('not-found', 'pipeline none not found'),
    )
    expect(await jobsOf(pachd, name)).toHaveLength(4)
  })

  test('CreateJob refuses what its pipeline does not say, and makes nothing', async () => {
    const repo = await freshRepo(pachd)
    const name = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
    const pipeline = { name }
    const { createJob } = pachd.pps
    await expect(createJob({})).rejects.toEqual(
      refused('invalid-argument', 'a pipeline name is needed'),
    )
    await expect(createJob({ pipeline: { name: 'none' } })).rejects.toEqual(
      refused('not-found', 'pipeline none not found'),
    )
    await expect(createJob({ pipeline })).rejects.toEqual(
      refused('failed-precondition', `branch master of repo ${repo} has no finished commit`),
    )
    await commitFiles(pachd, master(repo), { a: '1' })
    await expect(createJob({ pipeline, transform: { cmd: ['true'] } })).rejects.toEqual(
      refused('invalid-argument', 'so transform cannot be given'),
    )
    for (const outdated of [{ pipelineVersion: 7n }, { salt: 'x' }]) {
      await expect(createJob({ pipeline, ...outdated })).rejects.toEqual(
        refused('failed-precondition', 'job is made from an outdated version of the pipeline'),
      )
    }
    const inputs = [{ commit: commitOf('other', 'master') }]
    await expect(createJob({ pipeline, inputs })).rejects.toEqual(
      refused('invalid-argument', `pipeline ${name} does not read repo other`),
    )
    expect(await jobsOf(pachd, name)).toHaveLength(1)
  })

  test('DeletePipeline with cascade takes what reads its output, and leaves what it reads', async () => {
    const repo = await freshRepo(pachd)
    const one = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
    const two = await freshPipeline(pachd, copy, atomOf(one, '/*', 'in'))
    const three = await freshPipeline(pachd, copy, atomOf(two, '/*', 'in'))
    await pachd.pps.deletePipeline({ pipeline: { name: two }, cascade: true, deleteRepo: true })
    const { pipelineInfo } = await pachd.pps.listPipeline({})
    const names = pipelineInfo.map(({ pipeline }) => pipeline?.name)
    expect([one, two, three].map((name) => names.includes(name))).toEqual([true, false, false])
    await expect(pachd.pfs.inspectRepo({ repo: { name: three } })).rejects.toEqual(
      refused('not-found', 'not found'),
    )
  })
})

describe('what would run, and why it did', () => {
  test('Plan tells what a spec would run, and stores nothing', async () => {
    const repo = await freshRepo(pachd)
    const commit = await commitFiles(pachd, master(repo), { a: '1', b: '22' })
    const name = freshName('pipeline')
    const transform = { cmd: ['true'] }
    const spec = { pipeline: { name }, transform, input: atomOf(repo, '/*') }
    const steps = await collect(pachd.jobs.plan({ spec }))
    expect(steps.map(({ step }) => step)).toMatchObject([
      { case: 'outline', value: { pipeline: { name }, version: 1n, update: false, jobs: 1 } },
      {
        case: 'job',
        value: {
          datums: 2n,
          processed: 2n,
          skipped: 0n,
          processedBytes: 3n,
          commits: [{ id: commit }],
        },
      },
    ])
    await expect(pachd.pps.inspectPipeline({ pipeline: { name } })).rejects.toEqual(
      refused('not-found', 'not found'),
    )
    await expect(
      collect(pachd.jobs.plan({ spec: { ...spec, input: atomOf('none', '/') } })),
    ).rejects.toEqual(failed(Code.notFound, 'not-found', 'repos/ none not found'))
    await expect(collect(pachd.jobs.plan({}))).rejects.toEqual(
      failed(Code.invalidArgument, 'invalid-argument', 'a spec is needed'),
    )
  })

  test('Explain tells of a job, of a datum, and of what wrote a file', async () => {
    const repo = await freshRepo(pachd)
    const pipeline = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1', b: '2' }))
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { b: '3' }))
    const [{ job } = {}, { job: before } = {}] = await jobsOf(pachd, pipeline)
    const explained = await pachd.jobs.explain({ job: { id: job?.id ?? '' } })
    expect(explained.job).toMatchObject({
      pipeline: { name: pipeline },
      state: JobState.JOB_SUCCESS,
      baseJob: { id: before?.id },
      unchanged: 1n,
      groups: [{ state: DatumState.SUCCESS, cause: 'input[0].hash', datums: 1n }],
    })
    const datumId = explained.job?.groups[0]?.example?.datumId ?? ''
    const expected = {
      datumId,
      reason: `in:/b has changed since job ${before?.id}`,
      otherJob: { id: before?.id },
      differences: [{ field: 'input[0].hash' }],
    }
    expect((await pachd.jobs.explain({ datumId })).datums).toMatchObject([expected])
    const file = fileOf(pipeline, 'master', 'b')
    expect((await pachd.jobs.explain({ file })).datums).toMatchObject([expected])
    const put = await pachd.jobs.explain({ file: fileOf(repo, 'master', 'b') })
    expect(put).toMatchObject({ datums: [], note: expect.stringContaining('no job made commit') })
    await expect(pachd.jobs.explain({ datumId, file })).rejects.toEqual(
      failed(Code.invalidArgument, 'invalid-argument', 'not both'),
    )
    await expect(pachd.jobs.explain({})).rejects.toEqual(
      failed(Code.invalidArgument, 'invalid-argument', 'a job id is needed'),
    )
  })

  test('Derivations tell what was made from a file, Lineage what it was made from', async () => {
    const repo = await freshRepo(pachd)
    const pipeline = await freshPipeline(pachd, copy, atomOf(repo, '/*', 'in'))
    const commit = await commitFiles(pachd, master(repo), { 'd/x': '1', 'd/y': '2', z: '3' })
    await flush(pachd, repo, commit)
    const { job, outputCommit } = await lastJobOf(pachd, pipeline)
    const batches = await collect(pachd.jobs.derivations({ file: fileOf(repo, commit, 'd/x') }))
    expect(batches.flatMap(({ derivations }) => derivations)).toMatchObject([
      {
        job: { id: job?.id },
        pipeline: { name: pipeline },
        state: DatumState.SUCCESS,
        outputCommit: { id: outputCommit?.id },
        paths: ['/d/x', '/d/y'],
      },
    ])
    const file = fileOf(pipeline, 'master', 'none')
    for (const call of [pachd.jobs.lineage({ file }), collect(pachd.jobs.derivations({ file }))]) {
      await expect(call).rejects.toEqual(failed(Code.notFound, 'not-found', 'file none not found'))
    }
  })
})

test('limits and err_cmd are kept, shown and obeyed, and leave a store that is whole', async () => {
  const repo = await freshRepo(pachd)
  const code = 'test -e $PFS/in/slow && sleep 1000; cp -r $PFS/in/. $PFS/out/'
  const errCmd = ['sh', '-c', 'ls $PFS/in >&2; test ! -e $PFS/out/slow']
  const name = freshName('pipeline')
  const limits = {
    datumTimeout: { seconds: 3n, nanos: 0 },
    jobTimeout: { seconds: 3600n, nanos: 0 },
    datumTries: 1n,
  }
  await pachd.pps.createPipeline({
    pipeline: { name },
    transform: { cmd: ['sh', '-e'], stdin: [code], errCmd },
    input: atomOf(repo, '/*', 'in'),
    ...limits,
  })
  const pipeline = await pachd.pps.inspectPipeline({ pipeline: { name } })
  expect(pipeline).toMatchObject({ ...limits, transform: { errCmd } })
  await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1', slow: '2' }))
  const job = await lastJobOf(pachd, name)
  expect(job).toMatchObject({
    ...limits,
    state: JobState.JOB_SUCCESS,
    dataProcessed: 1n,
    dataRecovered: 1n,
    dataFailed: 0n,
    dataTotal: 2n,
  })
  const { datumInfo } = await pachd.pps.listDatum({ job: job.job ?? {} })
  expect(datumInfo).toMatchObject([
    { state: DatumState.SUCCESS },
    { state: DatumState.RECOVERED, reason: 'it ran longer than the datum_timeout of 3s' },
  ])
  const messages = await collect(pachd.pps.getLogs({ job: job.job ?? {} }))
  expect(texts(messages)).toEqual([
    '(try 1 failed: it ran longer than the datum_timeout of 3s; running err_cmd)\n',
    'slow\n',
  ])
  await collect(pachd.admin.collectGarbage({}))
  const events = (await collect(pachd.admin.check({ full: true }))).map(({ event }) => event)
  expect(events.filter((event) => event.case === 'finding')).toEqual([])
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  await pachd.pfs.deleteFile({ file: fileOf(repo, id, 'slow') })
  await putFile(pachd, fileOf(repo, id, 'b'), '3')
  await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
  await flush(pachd, repo, id)
  expect(await outputOf(pachd, name)).toEqual({ '/a': '1', '/b': '3' })
})

test('InspectStats tells what datums and jobs took, and how it is spread', async () => {
  const repo = await freshRepo(pachd)
  const code = 'test ! -e $PFS/in/bad; cp -r $PFS/in/. $PFS/out/'
  const name = await freshPipeline(pachd, code, atomOf(repo, '/*', 'in'))
  const sizes = { a: 'x', b: 'x'.repeat(10), c: 'x'.repeat(100) }
  await flush(pachd, repo, await commitFiles(pachd, master(repo), sizes))
  await commitFiles(pachd, master(repo), { bad: 'x' })
  const { job } = await lastJobOf(pachd, name)
  await ended(pachd, job?.id)
  const [, first] = await jobsOf(pachd, name)
  const ofJob = await pachd.jobs.inspectStats({ job: { id: first?.job?.id ?? '' } })
  expect(ofJob).toMatchObject({ datumsProcessed: 3n, datumsFailed: 0n, jobCounts: {} })
  expect(ofJob.datums?.downloadBytes).toMatchObject({
    count: 3n,
    mean: 37,
    min: 1,
    fifthPercentile: 1,
    median: 10,
    ninetyFifthPercentile: 100,
    max: 100,
  })
  expect(ofJob.datums?.processSeconds?.max).toBeGreaterThan(0)
  expect(ofJob.jobSeconds).toBeUndefined()
  const ofPipeline = await pachd.jobs.inspectStats({ pipeline: { name } })
  expect(ofPipeline).toMatchObject({
    datumsProcessed: 3n,
    datumsSkipped: 3n,
    datumsFailed: 1n,
    jobCounts: { [JobState.JOB_SUCCESS]: 1n, [JobState.JOB_FAILURE]: 1n },
    jobSeconds: { count: 2n },
    waitSeconds: { count: 2n },
  })
  await expect(pachd.jobs.inspectStats({})).rejects.toEqual(
    failed(Code.invalidArgument, 'invalid-argument', 'either a job or a pipeline is needed'),
  )
  await expect(pachd.jobs.inspectStats({ pipeline: { name: 'none' } })).rejects.toEqual(
    failed(Code.notFound, 'not-found', 'pipeline none not found'),
  )
})

function texts(messages: readonly LogMessage[]): readonly string[] {
  return messages.map(({ message }) => message)
}

describe('logs', () => {
  test('what is not UTF-8 comes back byte by byte, and lines of any kind do no harm', async () => {
    const repo = await freshRepo(pachd)
    const code = String.raw`printf 'plain\n\377\000\376\nun\r\033[31mterminated' >&2`
    const pipeline = await freshPipeline(pachd, code, atomOf(repo, '/'))
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1' }))
    const messages = await collect(pachd.pps.getLogs({ pipeline: { name: pipeline } }))
    const bytes = messages.map(({ message, rawMessage }) =>
      rawMessage.length > 0 ? Buffer.from(rawMessage) : Buffer.from(message),
    )
    expect(Buffer.concat(bytes).toString('latin1')).toBe(
      'plain\n\xff\0\xfe\nun\r\x1b[31mterminated\n',
    )
    expect(messages[0]).toMatchObject({ workerId: `${pipeline}-0`, stream: 'stderr', user: true })
  })

  test('a follower gets lines while they are written, and an end with the job', async () => {
    const repo = await freshRepo(pachd)
    const code =
      'echo begun; while [ ! -e /tmp/go ]; do sleep 0.05; echo again; touch /tmp/go; done'
    const pipeline = await freshPipeline(pachd, code, atomOf(repo, '/'))
    await commitFiles(pachd, master(repo), { a: '1' })
    const { job } = await lastJobOf(pachd, pipeline)
    const following = collect(pachd.pps.getLogs({ job: { id: job?.id ?? '' }, follow: true }))
    expect(texts(await following)).toEqual(['begun\n', 'again\n'])
    const { state } = await pachd.pps.inspectJob({ job: { id: job?.id ?? '' } })
    expect(state).toBe(JobState.JOB_SUCCESS)
  })

  test('logs are asked for by datum, version, worker, text and number', async () => {
    const repo = await freshRepo(pachd)
    const code = 'for i in 1 2 3; do echo $(ls $PFS/in) $i; done'
    const name = await freshPipeline(pachd, code, atomOf(repo, '/*', 'in'))
    const pipeline = { name }
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { a: '1' }))
    await flush(pachd, repo, await commitFiles(pachd, master(repo), { b: '1' }))
    const get = async (more: Parameters<typeof pachd.pps.getLogs>[0]) =>
      texts(await collect(pachd.pps.getLogs(more)))
    expect(await get({ pipeline, tail: 2 })).toEqual(['b 2\n', 'b 3\n'])
    expect(await get({ pipeline, text: ' 2' })).toEqual(['a 2\n', 'b 2\n'])
    expect(await get({ pipeline, pipelineVersion: 2n })).toEqual([])
    expect(await get({ pipeline, workerId: 'nobody' })).toEqual([])
    const [last] = await jobsOf(pachd, name)
    const job = { id: last?.job?.id ?? '' }
    expect(await get({ job })).toHaveLength(3)
    expect(await get({ job, skipped: true })).toHaveLength(6)
    const { datumInfo } = await pachd.pps.listDatum({ job })
    const inputFileId = datumInfo[0]?.datum?.id ?? ''
    expect(await get({ inputFileId })).toEqual(['a 1\n', 'a 2\n', 'a 3\n'])
    const since = last?.started
    expect(since && (await get({ pipeline, since }))).toHaveLength(3)
    await expect(get({ pipeline, tail: 100_001 })).rejects.toEqual(
      refused('invalid-argument', 'at most the last 100000 lines'),
    )
  })
})

test('what was acknowledged about jobs is so after the server was killed', async () => {
  await using directory = await TemporaryDirectory.create()
  const args = ['--root', directory.join('data'), '--address', '127.0.0.1:0']
  const ids = { stopped: '', restarted: '', made: '' }
  const names = { stopped: '', restarted: '', made: '' }
  {
    await using own = new ChildPachd(args)
    await using client = new TestClient(await own.ready)
    const repo = await freshRepo(client)
    const slow = 'sleep 0.3; cp $PFS/in/* $PFS/out/'
    names.stopped = await freshPipeline(client, 'sleep 1000', atomOf(repo, '/*', 'in'))
    names.restarted = await freshPipeline(client, slow, atomOf(repo, '/*', 'in'))
    names.made = await freshPipeline(client, copy, atomOf(repo, '/*', 'in'))
    await commitFiles(client, master(repo), { a: '1' })
    await ended(client, (await lastJobOf(client, names.made)).job?.id)
    ids.stopped = await runningJob(client, names.stopped)
    await client.pps.stopJob({ job: { id: ids.stopped } })
    ids.restarted = (await lastJobOf(client, names.restarted)).job?.id ?? ''
    await client.pps
      .restartDatum({ job: { id: ids.restarted }, dataFilters: ['/a'] })
      .catch(() => undefined)
    ids.made = (await client.pps.createJob({ pipeline: { name: names.made } })).id
  }
  await using own = new ChildPachd(args)
  await using client = new TestClient(await own.ready)
  expect(await ended(client, ids.stopped)).toMatchObject({
    state: JobState.JOB_KILLED,
    reason: expect.stringMatching(/^stopped by a user/),
  })
  for (const id of [ids.restarted, ids.made]) {
    expect(await ended(client, id)).toMatchObject({ state: JobState.JOB_SUCCESS, dataTotal: 1n })
  }
  expect(await jobsOf(client, names.made)).toHaveLength(2)
  expect(await outputOf(client, names.restarted)).toEqual({ '/a': '1' })
})
