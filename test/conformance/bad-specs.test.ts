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

interface BadSpec {
  readonly what: string
  readonly spec: () => CreateInit
  readonly text: string
  readonly kind?: ErrorKind
}

const transform = { cmd: ['true'] }
const pipeline = { name: 'bad' }
const good = (): InputInit => atomOf(repo, '/*')
const withInput = (input: InputInit): CreateInit => ({ pipeline, transform, input })

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
    what: 'what is not built yet',
    spec: () => ({ ...withInput(good()), incremental: true }),
    text: 'does not do incremental yet',
    kind: 'unimplemented',
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
