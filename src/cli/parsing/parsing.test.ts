import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CommandSpec } from '../command.ts'
import { parseCommand } from './command-line.ts'
import { goDurationSeconds } from '../../base/go-durations.ts'
import { jsonDocuments } from './json-documents.ts'
import { parsePipelineSpecs } from './pipeline-specs.ts'
import { parseOperations } from './operations.ts'
import { commandHint, suggestion } from './suggestion.ts'

const command: CommandSpec = {
  name: 'do-it',
  arguments: 'A [B C]',
  about: 'do it',
  flags: [
    { name: 'raw', short: 'r', about: 'raw' },
    { name: 'file', short: 'f', value: 'F', repeats: true, default: '-', about: 'files' },
    { name: 'number', short: 'n', value: 'N', isCount: true, about: 'count' },
  ],
  load: () => Promise.reject(new Error('not to be run')),
}

test('flags are read in all forms of Go, before and after arguments', async () => {
  const { args, flags } = await parseCommand(command, [
    '-r',
    'one',
    '--file=a,b',
    '-fc',
    'two',
    '--number',
    '7',
    '--no-metrics',
    '--',
    '--raw=false',
  ])
  expect(args).toEqual(['one', 'two', '--raw=false'])
  expect(flags.isOn('raw')).toBe(true)
  expect(flags.list('file')).toEqual(['a', 'b', 'c'])
  expect(flags.count('number')).toBe(7)
  const { flags: none } = await parseCommand(command, ['one', '--raw=false', '-f', '-'])
  expect(none.isOn('raw')).toBe(false)
  expect(none.list('file')).toEqual(['-'])
  expect(none.count('number')).toBe(0)
  expect(() => none.isOn('file')).toThrow('invariant broken')
})

test.each([
  [[], 'expected 1 or 3 arguments, got 0'],
  [['a', 'b'], 'expected 1 or 3 arguments, got 2'],
  [['a', '-n', '-1'], 'invalid argument "-1" for --number: write a whole number'],
  [['a', '--number', '-1'], 'invalid argument "-1" for --number: write a whole number'],
  [['a', '--number', '-r'], 'flag needs an argument: --number'],
  [['a', '-n', '1e3'], 'invalid argument "1e3" for --number: write a whole number'],
  [['a', '--nmber', '1'], 'unknown flag: --nmber; did you mean --number?'],
  [['a', '--file'], 'flag needs an argument: --file'],
  [['a', '-z'], 'unknown flag: -z'],
])('the command line %j is refused', async (words, message) => {
  await expect(parseCommand(command, words)).rejects.toMatchObject({ message, showsUsage: true })
})

test('the nearest name is suggested, if it is near', () => {
  const names = ['create-repo', 'list-repo', 'delete-repo']
  expect(suggestion('lsit-repo', names)).toBe('list-repo')
  expect(suggestion('repo-list', names)).toBe('list-repo')
  expect(suggestion('frobnicate', names)).toBeUndefined()
})

test('durations of Go become those of protobuf', () => {
  expect(goDurationSeconds('1h30m')).toBe('5400.000000000s')
  expect(goDurationSeconds('1.5s')).toBe('1.500000000s')
  expect(goDurationSeconds('-2ms')).toBe('-0.002000000s')
  expect(goDurationSeconds('.5m3ns')).toBe('30.000000003s')
  expect(goDurationSeconds('0')).toBe('0s')
  for (const text of ['', '5', '1x', 's', '1h 2m', '-', '1h-2m', '9999999h']) {
    expect([text, goDurationSeconds(text)]).toEqual([text, undefined])
  }
})

test('JSON values that follow each other come out one by one', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.object(), fc.array(fc.jsonValue())), { maxLength: 4 }),
      fc.constantFrom('', ' ', '\n\t'),
      (values, between) => {
        const texts = values.map((value) => JSON.stringify(value))
        const documents = [...jsonDocuments(between + texts.join(between) + between)]
        expect(documents.map(({ value }) => JSON.stringify(value))).toEqual(texts)
      },
    ),
  )
})

async function specNames(text: string): Promise<string[]> {
  const names: string[] = []
  try {
    for await (const { pipeline } of parsePipelineSpecs({ text, name: 'a.json' }))
      names.push(pipeline?.name ?? '')
  } catch (error) {
    names.push(String(error))
  }
  return names
}

test('the specs before a malformed one can be used', async () => {
  expect(await specNames('{"pipeline":{"name":"a"}}{"pipeline":{"name":"b"}}\n{"x": 1}')).toEqual([
    'a',
    'b',
    'InvalidArgumentError: malformed pipeline spec: a.json: unknown field "x" in pps.CreatePipelineRequest (spec 3, which begins at line 2, column 1)',
  ])
})

test.each([
  ['JSON', `{"input":${'{"cross":['.repeat(20_000)}${']}'.repeat(20_000)}}`],
  ['YAML', `input: ${'{cross: ['.repeat(3000)}${']}'.repeat(3000)}`],
])('a spec in %s without end is refused', async (_language, text) => {
  expect(await specNames(text)).toEqual([
    expect.stringContaining('malformed pipeline spec: a.json: it is nested too deep') as string,
  ])
})

test.each([
  ['{"input": {"cross": [{"atom": {"y": 1}}]}}', 'unknown field "y" in pps.AtomInput'],
  ['{"input": {"cross": {}}}', 'input.cross must be a list, and is {}'],
  ['{"pipeline": 3}', 'pipeline must be an object, and is 3'],
  [
    '{"pipeline": {"nam": "a"}}',
    'unknown field "nam" in pps.Pipeline (in pipeline); did you mean "name"?',
  ],
  ['{"paralelismSpec": {}}', 'did you mean "parallelismSpec"?'],
  ['{"maxQueueSize": 3}', 'it is of a later Pachyderm'],
  ['{"parallelism_spec": {"strategy": "CONSTANT"}}', 'it is of 1.4 and before'],
  ['{"cmd": ["x"]}', 'it belongs into "transform"'],
  ['{"transform": {"cmd": "sh"}}', 'transform.cmd must be a list, and is "sh"'],
  [
    '{"transform": {"cmd": ["a", 1]}}',
    'transform.cmd[1] must be a text (put it in quotes), and is 1',
  ],
  ['{"transform": {"env": {"PORT": 80}}}', 'transform.env.PORT must be a text'],
  ['{"enable_stats": "true"}', 'enable_stats must be true or false (without quotes)'],
  ['{"parallelism_spec": {"constant": "x"}}', 'parallelism_spec.constant must be a number'],
  ['{"scale_down_threshold": "soon"}', 'scale_down_threshold must be a duration'],
  ['{"input": {"cron": {"start": "soon"}}}', 'input.cron.start must be a time'],
  ['[{"pipeline": {"name": "a"}}, {"x": 1}]', '(spec 2, which begins at line 1, column 1)'],
  ['pipeline: {name: a}\ninput:\n  atom:\n   repo: [', 'at line 4, column 11 (read as YAML)'],
  ['a: 1\na: 2\n', '"a" is there a second time in one object at line 2, column 1'],
  ['b:\n  "a c": 1\n  a c: 2\n', '"a c" is there a second time in one object at line 3, column 3'],
  [
    '{"a": [{"b": "c", "b" :\n1}]}',
    '"b" is there a second time in one object at line 1, column 19: keep one of them',
  ],
  ['{"a": 1,\n "\\u0061": 2}', '"a" is there a second time in one object at line 2, column 2'],
  [
    'transform:\n  env:\n    PORT: 80\n',
    'transform.env.PORT must be a text (put it in quotes), and is 80',
  ],
  ['just words', 'a spec must be an object, and is "just words"'],
  ['# nothing\n---\n', 'there is no spec in a.json'],
  ['{"a" 1}', "Expected ':' after property name at line 1, column 6"],
  ['{\n "a": tru\n}', 'at line 2, column 10'],
  ['{"a": "b', 'Unterminated string at line 1, column 9'],
  ['{"a": 1', 'at line 1, column 8'],
  ['] {}', 'at line 1, column 1 (read as YAML)'],
])('the spec %s is refused', async (text, reason) => {
  expect((await specNames(text)).join()).toContain(reason)
})

test('keys and texts that are equal in different places are read', () => {
  const text = '{"name": "b", "b": {"name": "name", "list": [{"b": 1}, {"b": "b", "c": "\\": "}]}}'
  expect([...jsonDocuments(text)].map(({ value }) => value)).toEqual([JSON.parse(text)])
})

test('a bomb of YAML aliases is refused', async () => {
  const levels = ['a: &a0 [x, x, x, x, x, x, x, x, x, x]']
  for (let level = 1; level < 8; level += 1) {
    const alias = `*a${level - 1}`
    levels.push(`b${level}: &a${level} [${Array(10).fill(alias).join(', ')}]`)
  }
  expect((await specNames(levels.join('\n'))).join()).toContain('Excessive alias count')
})

test('specs may be YAML documents, a list, or JSON one after another', async () => {
  const yaml = '# mine\n---\npipeline:\n  name: a\n---\n{"pipeline": {"name": "b"}}\n---\n'
  expect(await specNames(yaml)).toEqual(['a', 'b'])
  expect(await specNames('- pipeline: {name: a}\n- pipeline: {name: b}\n')).toEqual(['a', 'b'])
  expect(await specNames('[{"pipeline":{"name":"a"}}]{"pipeline":{"name":"b"}}')).toEqual([
    'a',
    'b',
  ])
})

test('names of fields may be those of the .proto file or those of JSON', async () => {
  const [spec] = await Array.fromAsync(
    parsePipelineSpecs({
      name: 'a.json',
      text: '{"scaleDownThreshold": "1m", "output_branch": "out", "parallelism_spec": {"constant": "4"}, "input": null}',
    }),
  )
  expect(spec).toMatchObject({
    scaleDownThreshold: { seconds: 60n },
    outputBranch: 'out',
    parallelismSpec: { constant: 4n },
  })
  expect(spec?.input).toBeUndefined()
})

test.each([
  ['list', 'repo', 'did you mean list-repo?'],
  ['repo', 'list', 'did you mean list-repo?'],
  ['list', '-h', 'did you mean one of list-repo, list-commit, list-commit-tag?'],
  ['commit', undefined, 'did you mean one of list-commit, tag-commit, list-commit-tag?'],
  ['merge', undefined, 'did you mean merge-branch?'],
  ['tag', undefined, 'did you mean tag-commit?'],
  ['lst-repo', undefined, 'did you mean list-repo?'],
  ['frobnicate', 'it', undefined],
])('for the unknown command %s, before %s, the hint is %s', (name, next, hint) => {
  const commands = ['list-repo', 'list-commit', 'merge-branch', 'tag-commit', 'list-commit-tag']
  expect(commandHint([name, next], commands)).toBe(hint)
})

test.each([
  ['{"a": 1', /^ops\.json is not JSON: .* at line 1, column 8$/],
  [
    '{"finish_commit": {}}\n{"put_file": }',
    /^ops\.json is not JSON: .* at line 2, column 14, behind operation 1$/,
  ],
  [
    '[{"finish_commit": {}}, {"put_file": }]',
    /^ops\.json is not JSON: Unexpected token '}' at line 1, column 38$/,
  ],
  [
    '{"finish_commit": {}}\n  {"a": 1}',
    /^malformed operation 2 \(ops\.json, line 2, column 3\): unknown field "a"/,
  ],
  [
    '[{"finish_commit": {}}, {"a": 1}]',
    /^malformed operation 2 \(ops\.json, line 1, column 1\): unknown/,
  ],
  ['{"operations": 1}', /^"operations" in ops\.json must be a list/],
  [' ', /^there is no operation in ops\.json; one looks like/],
])('what is wrong with the operations %j is told with its place', (text, message) => {
  expect(() => parseOperations(text, 'ops.json')).toThrow(message)
})
