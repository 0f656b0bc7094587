import { afterAll, beforeAll, expect, test } from 'vitest'
import { PipelineState } from '../../src/gen/pps_pb.ts'
import { freshName, freshRepo, refused } from '../harness/expectations.ts'
import { commitFiles } from '../harness/files.ts'
import { atomOf, lastJobOf } from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

test('what a spec leaves out has the defaults of 1.5', async () => {
  const repo = await freshRepo(pachd)
  const pipeline = { name: freshName('pipeline') }
  await pachd.pps.createPipeline({
    pipeline,
    transform: { cmd: ['true'] },
    input: { atom: { repo, glob: '/*' } },
  })
  const info = await pachd.pps.inspectPipeline({ pipeline })
  expect(info).toMatchObject({
    pipeline,
    version: 1n,
    description: '',
    transform: {
      image: 'ubuntu:16.04',
      cmd: ['true'],
      env: {},
      secrets: [],
      stdin: [],
      acceptReturnCode: [],
      debug: false,
      imagePullSecrets: [],
    },
    input: {
      atom: { name: repo, repo, branch: 'master', glob: '/*', lazy: false, fromCommit: '' },
    },
    outputBranch: 'master',
    resourceSpec: { cpu: 0, memory: '64M', gpu: 0n },
    cacheSize: '64M',
    incremental: false,
    enableStats: false,
    batch: false,
    state: PipelineState.PIPELINE_RUNNING,
    recentError: '',
    notices: [],
  })
  expect(info.parallelismSpec).toBeUndefined()
  expect(info.scaleDownThreshold).toBeUndefined()
  expect(info.egress).toBeUndefined()
  expect(info.salt).toMatch(/^[0-9a-f]{32}$/)
})

test('what a spec says is shown by its pipeline and its jobs', async () => {
  const repo = await freshRepo(pachd)
  const first = await commitFiles(pachd, { repo, branch: 'dev' }, { a: '' })
  const second = await commitFiles(pachd, { repo, branch: 'dev' }, { b: '' })
  await pachd.secrets.createSecret({
    name: 'keys',
    entries: [{ name: 'one', value: new Uint8Array(1).fill(65) }],
  })
  const pipeline = { name: freshName('pipeline') }
  const transform = {
    image: 'registry.example:5000/team/tool:1',
    cmd: ['sh', '-c', 'exit 3'],
    env: { A: '1' },
    secrets: [
      { name: 'keys', mountPath: '/var/keys', key: '', envVar: '' },
      { name: 'keys', mountPath: '', key: 'one', envVar: 'ONE' },
    ],
    stdin: ['one', 'two'],
    acceptReturnCode: [3n],
    debug: true,
    imagePullSecrets: ['login'],
  }
  const atom = { name: 'in', repo, branch: 'dev', glob: '/*', lazy: true }
  const spec = {
    pipeline,
    description: 'about it',
    transform,
    parallelismSpec: { constant: 2n },
    input: { atom: { ...atom, fromCommit: first } },
    outputBranch: 'results',
    resourceSpec: { cpu: 0.5, memory: '2Gi', gpu: 1n },
    cacheSize: '1G',
    scaleDownThreshold: { seconds: 90n, nanos: 500_000_000 },
    enableStats: true,
    batch: true,
  }
  await pachd.pps.createPipeline(spec)
  const info = await pachd.pps.inspectPipeline({ pipeline })
  expect(info).toMatchObject(spec)
  expect(info.notices.join('\n')).toContain('resource_spec.gpu is recorded')
  const job = await lastJobOf(pachd, pipeline.name)
  await pachd.pps.inspectJob({ job: { id: job.job?.id ?? '' }, blockState: true })
  expect(await lastJobOf(pachd, pipeline.name)).toMatchObject({
    transform,
    parallelismSpec: { constant: 2n },
    input: { atom: { ...atom, commit: second, fromCommit: '' } },
    outputBranch: 'results',
    resourceSpec: { cpu: 0.5, memory: '2Gi', gpu: 1n },
    enableStats: true,
    batch: true,
    dataProcessed: 2n,
  })
})

test('memory below the cache size is raised to it', async () => {
  const repo = await freshRepo(pachd)
  const common = { transform: { cmd: ['true'] }, input: { atom: { repo, glob: '/*' } } }
  for (const [memory, shown] of [
    ['1M', '64M'],
    ['', '64M'],
    ['63999k', '64M'],
    ['64e6', '64e6'],
    ['1Gi', '1Gi'],
  ]) {
    const pipeline = { name: freshName('pipeline') }
    const resourceSpec = { cpu: 1, memory: memory ?? '' }
    await pachd.pps.createPipeline({ ...common, pipeline, resourceSpec })
    const info = await pachd.pps.inspectPipeline({ pipeline })
    expect(info.resourceSpec).toMatchObject({ cpu: 1, memory: shown })
  }
})

test('the inputs of before 1.4.6 become a cross', async () => {
  const repo = await freshRepo(pachd)
  const pipeline = { name: freshName('pipeline') }
  const inputs = [{ name: 'in', repo: { name: repo }, branch: 'dev', glob: '/', lazy: true }]
  await pachd.pps.createPipeline({ pipeline, transform: { cmd: ['true'] }, inputs })
  const info = await pachd.pps.inspectPipeline({ pipeline })
  expect(info.input).toMatchObject({
    cross: [{ atom: { name: 'in', repo, branch: 'dev', glob: '/', lazy: true } }],
  })
  expect(info.inputs).toEqual([])
})

test('members of crosses and unions are sorted by the names of their first atoms', async () => {
  const [left, right] = [await freshRepo(pachd), await freshRepo(pachd)]
  const pipeline = { name: freshName('pipeline') }
  const tick = { cron: { name: 'z', spec: '@yearly' } }
  const union = { union: [atomOf(left, '/', 'c'), atomOf(right, '/', 'a')] }
  await pachd.pps.createPipeline({
    pipeline,
    transform: { cmd: ['true'] },
    input: { cross: [union, atomOf(left, '/', 'b'), tick] },
  })
  const { input } = await pachd.pps.inspectPipeline({ pipeline })
  const names = input?.cross.map((member) => member.cron?.name ?? member.atom?.name ?? 'union')
  expect(names).toEqual(['z', 'union', 'b'])
  expect(input?.cross[1]?.union.map((member) => member.atom?.name)).toEqual(['a', 'c'])
})

test('a pipeline that cannot be stored leaves the cron repo out, too', async () => {
  const pipeline = { name: freshName('pipeline') }
  const cron = { name: 'tick', spec: '@daily' }
  const input = { cross: [{ cron }, { atom: { repo: 'nowhere', glob: '/' } }] }
  const request = { pipeline, transform: { cmd: ['true'] }, input }
  await expect(pachd.pps.createPipeline(request)).rejects.toEqual(
    refused('not-found', 'nowhere not found'),
  )
  const { repoInfo } = await pachd.pfs.listRepo({})
  expect(repoInfo.map(({ repo }) => repo?.name)).not.toContain(`${pipeline.name}_tick`)
})

test('validation says what would become of specs, and changes nothing', async () => {
  const repo = await freshRepo(pachd)
  const transform = { cmd: ['true'] }
  const old = { name: freshName('old') }
  const made = { name: freshName('made') }
  const broken = { name: freshName('broken') }
  const input = { atom: { repo, glob: '/*' } }
  await pachd.pps.createPipeline({ pipeline: old, transform, input })
  const before = [await pachd.pps.listPipeline({}), await pachd.pfs.listRepo({})]
  const { validations } = await pachd.pipelines.validatePipelines({
    specs: [
      { pipeline: old, transform, input, description: 'changed' },
      { pipeline: made, transform, input },
      { pipeline: { name: 'after' }, transform, input: { atom: { repo: made.name, glob: '/' } } },
      { pipeline: broken, transform, input: { atom: { repo: 'nowhere', glob: '/' } } },
      { pipeline: { name: 'last' }, transform, input: { atom: { repo: broken.name, glob: '/' } } },
      { pipeline: { name: 'tick' }, transform, input: { cron: { name: 'tick', spec: 'x' } } },
      { pipeline: made, transform, input, inputs: [{ repo: { name: repo } }] },
    ],
  })
  expect(validations.map((one) => [one.refusal, one.pipelineInfo?.version])).toEqual([
    ['', 2n],
    ['', 1n],
    ['', 1n],
    [expect.stringContaining('nowhere not found'), undefined],
    [expect.stringContaining(`${broken.name} not found`), undefined],
    [expect.stringContaining('Expected 5 to 6 fields'), undefined],
    [expect.stringContaining('cannot set both'), undefined],
  ])
  expect(validations[0]?.pipelineInfo).toMatchObject({ description: 'changed', cacheSize: '64M' })
  expect([await pachd.pps.listPipeline({}), await pachd.pfs.listRepo({})]).toEqual(before)
})

test('validation stops looking after ten refusals, and refuses too many specs', async () => {
  const repo = await freshRepo(pachd)
  const bad = { pipeline: { name: 'bad' }, input: { atom: { repo, glob: '/' } } }
  const good = { ...bad, pipeline: { name: 'good' }, transform: { cmd: ['true'] } }
  const { validations } = await pachd.pipelines.validatePipelines({
    specs: [...Array.from({ length: 12 }, () => bad), good],
  })
  expect(validations.filter(({ refusal }) => refusal !== '')).toHaveLength(10)
  expect(validations.at(-1)).toMatchObject({ refusal: '', pipeline: { name: 'good' } })
  expect(validations.at(-1)?.pipelineInfo).toBeUndefined()
  await expect(
    pachd.pipelines.validatePipelines({ specs: Array.from({ length: 101 }, () => good) }),
  ).rejects.toMatchObject({ kind: 'invalid-argument' })
})
