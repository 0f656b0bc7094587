import { writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'

/** All commands that read what people write, each up to the path of the file. */
const commands = {
  'create-pipeline': ['create-pipeline', '-f'],
  'create-pipeline --template': ['create-pipeline', '--arg', 'x=1', '--template'],
  'update-pipeline': ['update-pipeline', '-f'],
  'validate-pipeline': ['validate-pipeline', '-f'],
  plan: ['plan', '-f'],
  'create-trial': ['create-trial', 'trial', '-f'],
  'convert-spec': ['convert-spec', '-f'],
  'run-pipeline': ['run-pipeline', 'edges', '-f'],
  'run-transaction': ['run-transaction', '-f'],
} as const

const json = '{"pipeline": {"name": "a"},\n "input" {}}'
const yaml = 'pipeline:\n  name: a\ninput: {atom: {repo: b}\n'
const readsYaml = Object.entries(commands).filter(([name]) => !name.startsWith('run-'))

describe('no server is asked before what was written is read', () => {
  test.each(Object.entries(commands))('%s names file, line and column of JSON', async (_, args) => {
    await using directory = await TemporaryDirectory.create()
    const path = directory.join('spec.json')
    await writeFile(path, json)
    const ended = await pachctlHere([...args, path], { port: 1, home: '/' })
    expect(ended).toMatchObject({ code: 1, out: '' })
    expect(ended.err).toContain(path)
    expect(ended.err).toContain("Expected ':' after property name at line 2, column 10")
  })

  test.each(readsYaml)('%s names file, line and column of YAML', async (_, args) => {
    await using directory = await TemporaryDirectory.create()
    const path = directory.join('spec.yaml')
    await writeFile(path, yaml)
    const ended = await pachctlHere([...args, path], { port: 1, home: '/' })
    expect(ended).toMatchObject({ code: 1, out: '' })
    expect(ended.err).toContain(path)
    expect(ended.err).toContain('at line 4, column 1 (read as YAML)')
  })

  test('create-secret names them, too, and shows nothing of the text', async () => {
    await using directory = await TemporaryDirectory.create()
    const path = directory.join('secret.yaml')
    await writeFile(path, 'kind: Secret\nstringData: {password: hush\n')
    const ended = await pachctlHere(['create-secret', '-f', path], { port: 1, home: '/' })
    expect(ended).toMatchObject({ code: 1, out: '' })
    expect(ended.err).toBe(
      `${path} is no Secret as Kubernetes has it: it is neither JSON nor YAML: look at line 3, column 1\n`,
    )
  })
})

test('convert-spec says where what is no spec begins', async () => {
  await using directory = await TemporaryDirectory.create()
  const path = directory.join('specs.json')
  await writeFile(path, '{"pipeline": {"name": "a"}}\n [1]')
  const ended = await pachctlHere(['convert-spec', '-f', path], { port: 1, home: '/' })
  expect(ended.code).toBe(1)
  expect(ended.err).toContain(`${path}: `)
  expect(ended.err).toContain('(which begins at line 2, column 2)')
})
