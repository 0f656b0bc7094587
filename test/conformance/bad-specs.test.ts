import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ErrorKind } from '../../src/base/errors.ts'
import { Code } from '../../src/base/grpc-wire.ts'
import { failed, freshRepo, refused } from '../harness/expectations.ts'
import { collect } from '../harness/files.ts'
import { atomOf, type InputInit } from '../harness/pipelines.ts'
import { TestPachd } from '../harness/test-pachd.ts'

let pachd: TestPachd
let repo: string
beforeAll(async () => {
  pachd = await TestPachd.start()
  repo = await freshRepo(pachd)
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

type CreateInit = Parameters<TestPachd['pps']['createPipeline']>[0]

interface PlainInit {
  readonly pipeline: { name: string }
  readonly transform: { cmd: string[] }
  readonly input: InputInit
}

interface BadSpec {
  readonly what: string
  readonly spec: () => CreateInit
  readonly text: string
  readonly kind?: ErrorKind
}

const transform = { cmd: ['true'] }
const pipeline = { name: 'bad' }
const good = (): InputInit => atomOf(repo, '/*')
interface SecretsInit {
  readonly secrets?: { name?: string; mountPath: string }[]
  readonly imagePullSecrets?: string[]
}
const withTransform = (more: SecretsInit): CreateInit => ({
  pipeline,
  transform: { ...transform, ...more },
  input: good(),
})
const withInput = (input: InputInit): PlainInit => ({ pipeline, transform, input })

/** Whatever a spec was refused for, no pipeline and no repo is left of it. */
async function holdNothingChanged(): Promise<void> {
  expect((await pachd.pps.listPipeline({})).pipelineInfo).toEqual([])
  const { repoInfo } = await pachd.pfs.listRepo({})
  expect(repoInfo.map((info) => info.repo?.name)).toEqual([repo])
  expect((await pachd.pps.listJob({})).jobInfo).toEqual([])
  expect(pachd.log.filter((line) => line.includes(' error '))).toEqual([])
}

const specs: readonly BadSpec[] = [
  { what: 'nothing at all', spec: () => ({}), text: 'a pipeline name is needed' },
  {
    what: 'a name that no repo can have',
    spec: () => ({ pipeline: { name: 'a b' }, transform, input: good() }),
    text: 'pipeline name (a b) invalid',
  },
  { what: 'no transform', spec: () => ({ pipeline, input: good() }), text: 'no transform set' },
  {
    what: 'no program',
    spec: () => ({ pipeline, transform: { stdin: ['x'] }, input: good() }),
    text: 'no cmd set',
  },
  {
    what: 'a null character in an argument',
    spec: () => ({ pipeline, transform: { cmd: ['a\0b'] }, input: good() }),
    text: 'null character',
  },
  {
    what: 'an environment variable without a name',
    spec: () => ({ pipeline, transform: { cmd: ['true'], env: { 'a=b': '1' } }, input: good() }),
    text: 'not a name for an environment variable',
  },
  {
    what: 'a return code that no program has',
    spec: () => ({
      pipeline,
      transform: { cmd: ['true'], acceptReturnCode: [256n] },
      input: good(),
    }),
    text: 'accept_return_code 256',
  },
  { what: 'no input', spec: () => ({ pipeline, transform }), text: 'no input set' },
  { what: 'an empty input', spec: () => withInput({}), text: 'no input set' },
  {
    what: 'two kinds of input at once',
    spec: () => withInput({ atom: { repo, glob: '/' }, union: [good()] }),
    text: 'multiple input types set',
  },
  {
    what: 'both the old and the new form of input',
    spec: () => ({
      pipeline,
      transform,
      input: good(),
      inputs: [{ repo: { name: repo }, glob: '/' }],
    }),
    text: 'cannot set both Inputs and Input field',
  },
  { what: 'no repo', spec: () => withInput({ atom: { glob: '/' } }), text: 'must specify a repo' },
  { what: 'no glob', spec: () => withInput({ atom: { repo } }), text: 'must specify a glob' },
  { what: 'a malformed glob', spec: () => withInput(atomOf(repo, '/[')), text: 'is malformed' },
  {
    what: 'an input named out',
    spec: () => withInput(atomOf(repo, '/', 'out')),
    text: 'input cannot be named "out"',
  },
  {
    what: 'an input name that leads elsewhere',
    spec: () => withInput(atomOf(repo, '/', '../x')),
    text: 'cannot be a directory below /pfs',
  },
  {
    what: 'one name for two members of a cross',
    spec: () => withInput({ cross: [good(), good()] }),
    text: 'was used more than once',
  },
  {
    what: 'a cross of unions that share a name',
    spec: () => withInput({ cross: [{ union: [good(), atomOf(repo, '/', 'x')] }, good()] }),
    text: 'was used more than once',
  },
  {
    what: 'two branches of one repo',
    spec: () =>
      withInput({ cross: [good(), { atom: { repo, branch: 'dev', glob: '/', name: 'x' } }] }),
    text: 'cannot use the same repo in multiple inputs with different branches',
  },
  {
    what: 'a repo that does not exist',
    spec: () => withInput(atomOf('nowhere', '/')),
    text: 'pachyderm_pfs/repos/ nowhere not found',
    kind: 'not-found',
  },
  {
    what: 'its own output as input',
    spec: () => withInput(atomOf('bad', '/')),
    text: 'cannot read its own output',
  },
  {
    what: 'a commit that is none',
    spec: () => withInput({ atom: { repo, glob: '/', fromCommit: 'x' } }),
    kind: 'not-found',
    text: 'x not found',
  },
  {
    what: 'a name of a commit that makes no sense',
    spec: () => withInput({ atom: { repo, glob: '/', fromCommit: 'master~x' } }),
    text: 'makes no sense',
  },
  {
    what: 'an output branch with a slash',
    spec: () => ({ ...withInput(good()), outputBranch: 'a/b' }),
    text: 'branch name',
  },
  {
    what: 'two parallelism strategies',
    spec: () => ({ ...withInput(good()), parallelismSpec: { constant: 1n, coefficient: 2 } }),
    text: 'contradictory parallelism strategies',
  },
  {
    what: 'a cache size that is no quantity',
    spec: () => ({ ...withInput(good()), cacheSize: 'big' }),
    text: "could not parse cacheSize 'big'",
  },
  {
    what: 'a negative cache size',
    spec: () => ({ ...withInput(good()), cacheSize: '-1M' }),
    text: "could not parse cacheSize '-1M'",
  },
  {
    what: 'memory that is no quantity',
    spec: () => ({ ...withInput(good()), resourceSpec: { memory: '1 GB' } }),
    text: 'resource_spec.memory "1 GB" must be',
  },
  {
    what: 'a negative number of cores',
    spec: () => ({ ...withInput(good()), resourceSpec: { cpu: -1 } }),
    text: 'resource_spec.cpu -1 must be',
  },
  {
    what: 'a negative number of devices',
    spec: () => ({ ...withInput(good()), resourceSpec: { gpu: -1n } }),
    text: 'resource_spec.gpu -1 must be',
  },
  {
    what: 'too many workers',
    spec: () => ({ ...withInput(good()), parallelismSpec: { constant: 2n ** 40n } }),
    text: 'parallelism_spec must be between 0 and 1024',
  },
  {
    what: 'a negative scale-down threshold',
    spec: () => ({ ...withInput(good()), scaleDownThreshold: { seconds: -1n } }),
    text: 'scale_down_threshold must be',
  },
  {
    what: 'an image with a blank',
    spec: () => ({ pipeline, transform: { cmd: ['true'], image: 'a b' }, input: good() }),
    text: 'transform.image "a b" is not the name of an image',
  },
  {
    what: 'a secret without a name',
    spec: () => withTransform({ secrets: [{ mountPath: '/keys' }] }),
    text: 'transform.secrets[0].name "" is not the name of a secret',
  },
  {
    what: 'a secret in /pfs',
    spec: () => withTransform({ secrets: [{ name: 'k', mountPath: '/./pfs/x' }] }),
    text: 'transform.secrets[0].mount_path "/./pfs/x" must be',
  },
  {
    what: 'a secret at a relative path',
    spec: () => withTransform({ secrets: [{ name: 'k', mountPath: 'keys' }] }),
    text: 'must be an absolute path',
  },
  {
    what: 'two secrets at one path',
    spec: () =>
      withTransform({
        secrets: [
          { name: 'k', mountPath: '/keys' },
          { name: 'l', mountPath: '/keys/' },
        ],
      }),
    text: 'is that of another secret',
  },
  {
    what: 'a secret within another',
    spec: () =>
      withTransform({
        secrets: [
          { name: 'k', mountPath: '/keys/more' },
          { name: 'l', mountPath: '/keys' },
        ],
      }),
    text: 'are one within the other',
  },
  {
    what: 'a secret over the programs',
    spec: () => withTransform({ secrets: [{ name: 'k', mountPath: '/usr/' }] }),
    text: 'transform.secrets[0].mount_path /usr/ would hide the programs that are there',
  },
  {
    what: 'a pull secret without sense',
    spec: () => withTransform({ imagePullSecrets: ['ok', 'No'] }),
    text: 'transform.image_pull_secrets[1] "No" is not the name of a secret',
  },
  {
    what: 'a spec that is too long',
    spec: () => ({ ...withInput(good()), transform: { cmd: ['a'], stdin: ['x'.repeat(2 ** 20)] } }),
    text: 'at most 1048576 are allowed',
  },
  {
    what: 'a description that is too long',
    spec: () => ({ ...withInput(good()), description: 'x'.repeat(4097) }),
    text: 'the description of pipeline',
  },
  {
    what: 'a cron without a name',
    spec: () => withInput({ cron: { spec: '@daily' } }),
    text: 'input must specify a name',
  },
  {
    what: 'a cron spec that makes no sense',
    spec: () => withInput({ cron: { name: 'tick', spec: 'bad' } }),
    text: 'pipeline bad: cron input tick: Expected 5 to 6 fields, found 1: bad',
  },
  {
    what: 'a cron that never ticks',
    spec: () => withInput({ cross: [good(), { cron: { name: 'tick', spec: '0 0 0 31 2 *' } }] }),
    text: 'never ticks after',
  },
  {
    what: 'a cron in a time zone that is not there',
    spec: () => withInput({ cron: { name: 'tick', spec: '@daily', timeZone: 'Mars' } }),
    text: 'time_zone "Mars" is not known',
  },
  {
    what: 'a policy that is not there',
    spec: () => withInput({ cron: { name: 'tick', spec: '@daily', missedTicks: 'some' } }),
    text: 'missed_ticks "some" of input tick must be "all", "latest" or "none"',
  },
  {
    what: 'a cron that starts outside of all time',
    spec: () =>
      withInput({ cron: { name: 'tick', spec: '@daily', start: { seconds: 2n ** 60n } } }),
    text: 'makes no sense',
  },
  {
    what: 'a cron that ticks into its own output',
    spec: () => withInput({ cron: { name: 'tick', spec: '@daily', repo: 'bad' } }),
    text: 'cannot read its own output',
  },
  {
    what: 'one name for a cron and an atom',
    spec: () => withInput({ cross: [good(), { cron: { name: repo, spec: '@daily' } }] }),
    text: 'was used more than once',
  },
  {
    what: 'both words for an atom',
    spec: () => withInput({ atom: { repo, glob: '/' }, pfs: { repo, glob: '/' } }),
    text: 'multiple input types set',
  },
  {
    what: 'a join whose member does not say on what',
    spec: () => withInput({ join: [good()] }),
    text: 'must specify join_on',
  },
  {
    what: 'a group whose member does not say by what',
    spec: () => withInput({ group: [good()] }),
    text: 'must specify group_by',
  },
  {
    what: 'a join of a cross',
    spec: () => withInput({ join: [{ cross: [good()] }] }),
    text: 'the members of a join are atoms',
  },
  {
    what: 'a group of a cron',
    spec: () => withInput({ group: [{ cron: { name: 'tick', spec: '@daily' } }] }),
    text: 'the members of a group are atoms',
  },
  {
    what: 'a capture that the glob does not have',
    spec: () => withInput({ join: [{ atom: { repo, glob: '/(*)', joinOn: '$2' } }] }),
    text: 'names capture 2, and the glob "/(*)" has 1 in parentheses',
  },
  {
    what: 'a template without a capture',
    spec: () => withInput({ group: [{ atom: { repo, glob: '/(*)', groupBy: 'x' } }] }),
    text: 'must name a capture of the glob',
  },
  {
    what: 'parentheses without a partner',
    spec: () => withInput({ join: [{ atom: { repo, glob: '/(*', joinOn: '$1' } }] }),
    text: 'needs its ")"',
  },
  {
    what: 'a field of joins on an atom by itself',
    spec: () => withInput({ atom: { repo, glob: '/(*)', joinOn: '$1' } }),
    text: 'has join_on, and is not a member of a join',
  },
  {
    what: 'a field of groups in a join',
    spec: () =>
      withInput({ join: [{ atom: { repo, glob: '/(*)', joinOn: '$1', groupBy: '$1' } }] }),
    text: 'has group_by, and is a member of a join',
  },
  {
    what: 'a field of joins in a group',
    spec: () =>
      withInput({ group: [{ atom: { repo, glob: '/(*)', groupBy: '$1', outerJoin: true } }] }),
    text: 'has outer_join, and is a member of a group',
  },
  {
    what: 'one name for two members of a join',
    spec: () =>
      withInput({
        join: ['/(*)', '/(*)/'].map((glob) => ({ atom: { repo, glob, joinOn: '$1' } })),
      }),
    text: 'was used more than once',
  },
  {
    what: 'inputs that share provenance, to be read incrementally',
    spec: () => ({
      ...withInput({ cross: [good(), atomOf(repo, '/', 'x')] }),
      incremental: true,
    }),
    text: "can't create an incremental pipeline with inputs that share provenance",
  },
  {
    what: 'a group, to be read incrementally',
    spec: () => ({
      ...withInput({ group: [{ atom: { repo, glob: '/(*)', groupBy: '$1' } }] }),
      incremental: true,
    }),
    text: 'an incremental pipeline cannot read groups',
  },
  {
    what: 'an input for a spout',
    spec: () => ({ ...withInput(good()), spout: {} }),
    text: 'a spout has no input',
  },
  {
    what: 'egress to what is no object store',
    spec: () => ({ ...withInput(good()), egress: { URL: 'https://example.com/x' } }),
    text: 'pipeline bad: egress: cannot export to https://example.com/x: name an object store',
  },
  {
    what: 'egress to no bucket',
    spec: () => ({ ...withInput(good()), egress: { URL: 's3:///x' } }),
    text: '"" cannot be a bucket',
  },
  {
    what: 'a password in its egress',
    spec: () => ({ ...withInput(good()), egress: { URL: 's3://id:geheim@bucket/x' } }),
    text: 'the egress URL s3://…@bucket/x has what may be a password',
  },
  {
    what: 'a signature in its egress',
    spec: () => ({ ...withInput(good()), egress: { URL: 'as://host/container/x?sig=geheim' } }),
    text: 'the egress URL as://host/container/x?… has what may be a password or a signature',
  },
  {
    what: 'a signature among the settings of its egress',
    spec: () => ({
      ...withInput(good()),
      egress: { URL: 's3://bucket/x?endpoint=https://x&X-Amz-Signature=geheim' },
    }),
    text: 'the egress URL s3://bucket/x?… has what may be a password or a signature',
  },
  {
    what: 'egress for a spout',
    spec: () => ({
      pipeline,
      transform: { cmd: ['true'] },
      spout: {},
      egress: { URL: 's3://bucket/x' },
    }),
    text: 'egress is about datums and jobs that end',
  },
  {
    what: 'an update of a pipeline that does not exist',
    spec: () => ({ ...withInput(good()), update: true }),
    text: 'pipeline bad not found',
    kind: 'not-found',
  },
]

describe('a spec with', () => {
  test.each(specs)('$what', async ({ spec, text, kind = 'invalid-argument' }) => {
    const code = kind === 'unimplemented' ? Code.unimplemented : Code.unknown
    await expect(pachd.pps.createPipeline(spec())).rejects.toEqual(failed(code, kind, text))
    const named = new RegExp(`pipeline .*${spec().pipeline?.name ?? 'name'}`)
    await expect(pachd.pps.createPipeline(spec())).rejects.toThrow(named)
    await holdNothingChanged()
  })
})

describe('a request for', () => {
  const job = { id: 'nope' }
  const missing = { kind: 'not-found', text: 'not found' } as const
  const unnamed = { kind: 'invalid-argument', text: 'is needed' } as const
  test.each([
    { what: 'an unknown job', call: () => pachd.pps.inspectJob({ job }), ...missing },
    {
      what: 'the end of an unknown job',
      call: () => pachd.pps.inspectJob({ job, blockState: true }),
      ...missing,
    },
    { what: 'no job', call: () => pachd.pps.inspectJob({}), ...unnamed },
    { what: 'stopping an unknown job', call: () => pachd.pps.stopJob({ job }), ...missing },
    { what: 'deleting an unknown job', call: () => pachd.pps.deleteJob({ job }), ...missing },
    { what: 'datums of an unknown job', call: () => pachd.pps.listDatum({ job }), ...missing },
    { what: 'no datum', call: () => pachd.pps.inspectDatum({}), ...unnamed },
    {
      what: 'an unknown pipeline',
      call: () => pachd.pps.inspectPipeline({ pipeline }),
      ...missing,
    },
    { what: 'no pipeline', call: () => pachd.pps.inspectPipeline({}), ...unnamed },
    { what: 'starting nothing', call: () => pachd.pps.startPipeline({ pipeline }), ...missing },
    { what: 'stopping nothing', call: () => pachd.pps.stopPipeline({ pipeline }), ...missing },
    { what: 'deleting nothing', call: () => pachd.pps.deletePipeline({ pipeline }), ...missing },
    {
      what: 'logs of nothing',
      call: () => collect(pachd.pps.getLogs({})),
      kind: 'invalid-argument',
      text: 'must set either pipeline or job filter',
    } as const,
    {
      what: 'logs of an unknown pipeline',
      call: () => collect(pachd.pps.getLogs({ pipeline })),
      ...missing,
    },
    { what: 'logs of an unknown job', call: () => collect(pachd.pps.getLogs({ job })), ...missing },
  ])('$what', async ({ call, kind, text }) => {
    await expect(call()).rejects.toEqual(refused(kind, text))
    await holdNothingChanged()
  })
})

test('a pipeline of a name that is taken is refused, and the first one stays as it is', async () => {
  await using own = await TestPachd.start()
  const input = atomOf(await freshRepo(own), '/*')
  await own.pps.createPipeline({ pipeline, transform, input })
  const before = await own.pps.inspectPipeline({ pipeline })
  const again = { pipeline, transform: { cmd: ['false'] }, input }
  await expect(own.pps.createPipeline(again)).rejects.toEqual(
    refused('already-exists', 'pipeline bad already exists'),
  )
  expect(await own.pps.inspectPipeline({ pipeline })).toEqual(before)
})
