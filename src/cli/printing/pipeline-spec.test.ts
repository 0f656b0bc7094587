import { create } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { CreatePipelineRequestSchema, PipelineInfoSchema } from '../../gen/pps_pb.ts'
import { parsePipelineSpecs } from '../parsing/pipeline-specs.ts'
import { inputRepos, specFileText } from './pipeline-spec.ts'

const common = {
  pipeline: { name: 'all' },
  description: '# not a comment: "quoted"\nand more',
  parallelismSpec: { coefficient: 0.5 },
  scaleDownThreshold: { seconds: 90n, nanos: 500_000_000 },
  resourceSpec: { cpu: 0.5, memory: '1G', gpu: 1n },
  outputBranch: 'yes',
  cacheSize: '64M',
  incremental: true,
  enableStats: true,
  batch: true,
  input: {
    cross: [
      { cron: { name: 'c', spec: '@daily', start: { seconds: 5n, nanos: 1000 }, timeZone: 'UTC' } },
      { union: [{ atom: { name: 'a', repo: 'left', glob: '/*', lazy: true, fromCommit: 'x' } }] },
      { join: [{ atom: { repo: 'right', glob: '/(*)', joinOn: '$1', outerJoin: true } }] },
      { group: [{ atom: { repo: 'other', glob: '/(*)', groupBy: '$1' } }] },
    ],
  },
}
const transform = {
  cmd: ['sh', '-c', 'echo "$A" > out\n'],
  env: { A: 'no', 'B C': '' },
  secrets: [{ name: 'k', mountPath: '/k' }],
  stdin: ['- x', ''],
  acceptReturnCode: [3n],
  warm: true,
  errCmd: ['true'],
  errStdin: ['x'],
}

test.each(['json', 'yaml'] as const)(
  'a spec in %s is read as what it was made from',
  async (format) => {
    const info = create(PipelineInfoSchema, { ...common, transform })
    const text = await specFileText(info, format)
    const specs = await Array.fromAsync(parsePipelineSpecs({ text, name: format }))
    expect(specs).toEqual([create(CreatePipelineRequestSchema, { ...common, transform })])
    expect(inputRepos(info.input)).toEqual(['', 'left', 'right', 'other'])
  },
)

test('what the server fills in is left out where it would mean something else', async () => {
  const info = create(PipelineInfoSchema, {
    pipeline: { name: 'spout' },
    transform: { image: 'ubuntu:16.04', cmd: ['true'] },
    resourceSpec: { memory: '64M' },
    cacheSize: '64M',
    input: {},
    spout: {},
  })
  expect(JSON.parse(await specFileText(info, 'json'))).toEqual({
    pipeline: { name: 'spout' },
    transform: { cmd: ['true'] },
    cache_size: '64M',
    spout: {},
  })
})
