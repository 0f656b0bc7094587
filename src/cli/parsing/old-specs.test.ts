import { expect, test } from 'vitest'
import { convertSpec } from './old-specs.ts'

const transform = { image: 'a:1', cmd: ['sh'], stdin: ['true'] }

test('a spec of 1.3 becomes one of now', () => {
  const { spec, warnings } = convertSpec({
    pipeline: { name: 'sum' },
    transform: {
      ...transform,
      overwrite: true,
      imagePullSecrets: ['s'],
      stdin: ['cat /pfs/prev/x $PACH_OUTPUT_COMMIT_ID'],
    },
    parallelism: '4',
    inputs: [{ repo: { name: 'logs' }, method: 'incremental_reduce', runEmpty: true, lazy: true }],
    output: { URL: 's3://b/x' },
    resources: { cpu: 1, memory: '1G' },
    gc_policy: { success: '24h' },
    update: true,
    no_archive: true,
  })
  expect(spec).toEqual({
    pipeline: { name: 'sum' },
    transform: {
      ...transform,
      image_pull_secrets: ['s'],
      stdin: ['cat /pfs/prev/x $PACH_OUTPUT_COMMIT_ID'],
    },
    parallelism_spec: { constant: 4 },
    input: { atom: { repo: 'logs', glob: '/*', lazy: true } },
    egress: { URL: 's3://b/x' },
    resource_spec: { cpu: 1, memory: '1G' },
  })
  const subjects = [
    'overwrite',
    'any branch',
    'what was new',
    'runEmpty',
    'egress',
    'gc_policy',
    'update',
    'no_archive',
    '/pfs/prev',
    '$PACH_OUTPUT_COMMIT_ID',
  ]
  for (const subject of subjects) {
    expect(warnings.filter((warning) => warning.includes(subject)).length).toBeGreaterThan(0)
  }
})

test.each([
  [undefined, '/*/*'],
  ['map', '/*/*'],
  ['reduce', '/*'],
  ['incremental_reduce', '/*'],
  ['global', '/'],
  [{ partition: 'REPO', incremental: 'DIFF' }, '/'],
  [{ partition: 'FILE' }, '/*'],
])('method %j has the glob %s', (method, glob) => {
  const { spec } = convertSpec({ inputs: [{ repo: { name: 'r' }, method }] })
  expect(spec['input']).toEqual({ atom: { repo: 'r', glob } })
})

test('several inputs of 1.3 were every combination', () => {
  const inputs = ['a', 'b'].map((name) => ({ repo: { name }, method: 'global' }))
  expect(convertSpec({ inputs }).spec['input']).toEqual({
    cross: [{ atom: { repo: 'a', glob: '/' } }, { atom: { repo: 'b', glob: '/' } }],
  })
})

test('a spec of 1.4 loses its strategy and its spellings only', () => {
  const { spec, warnings } = convertSpec({
    pipeline: { name: 'p' },
    transform,
    parallelism_spec: { strategy: 'COEFFICIENT', coefficient: 2, constant: 0 },
    inputs: [{ name: 'in', repo: { name: 'r' }, branch: 'dev', glob: '/*', from: { id: 'abc' } }],
    outputBranch: 'out',
    scaleDownThreshold: '600s',
  })
  expect(warnings).toEqual([])
  expect(spec).toEqual({
    pipeline: { name: 'p' },
    transform,
    parallelism_spec: { coefficient: 2 },
    input: { atom: { name: 'in', repo: 'r', branch: 'dev', glob: '/*', from_commit: 'abc' } },
    output_branch: 'out',
    scale_down_threshold: '600s',
  })
})

test('what nobody knows stays, and each is told', () => {
  const { spec, warnings } = convertSpec({
    pipeline: { name: 'p' },
    transform: { ...transform, shell: 'zsh' },
    inputs: [{ repo: { name: 'r' }, glob: '/' }],
    bogus: 3,
    outputBranches: 'x',
  })
  expect(spec).toMatchObject({ bogus: 3, transform: { shell: 'zsh' } })
  expect(warnings).toEqual([
    'create-pipeline will refuse this: unknown field "shell" in pps.Transform (in transform)',
    'create-pipeline will refuse this: unknown field "bogus" in pps.CreatePipelineRequest',
    'create-pipeline will refuse this: unknown field "outputBranches" in pps.CreatePipelineRequest; did you mean "outputBranch"?',
  ])
})

test('a method that nobody knows, and what is no spec, are refused', () => {
  const inputs = [{ repo: { name: 'r' }, method: 'shuffle' }]
  expect(() => convertSpec({ inputs })).toThrow(/"shuffle" is none of map, reduce/)
  expect(() => convertSpec([])).toThrow(/should be an object/)
  expect(() => convertSpec({ inputs: [] })).toThrow(/at least one/)
})
