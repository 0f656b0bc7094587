import { expect, test } from 'vitest'
import { Stage } from './stage.ts'

test('commits are named, tagged and told of', async () => {
  await using stage = await Stage.open()
  await stage.run('create-repo data')
  await stage.run('put-file data@master:/cat -c', 'one\n')
  await stage.run('list-commit data')
  await stage.run("put-file data@master:/cat -c -o -m 'second thoughts'", 'two\n')
  await stage.run("start-commit data@master -m 'not yet'")
  await stage.run('put-file data@master:/dog', 'three\n')
  await stage.run('delete-file data@master:/cat')
  await stage.quietly(['finish-commit', 'data@master', '-m', 'dogs\nonly \u001b[31m'])

  await stage.run('inspect-commit data@master')
  await stage.run('inspect-commit data master~1 --raw')
  await stage.run('list-commit data master')
  await stage.run('list-commit data@master^')
  await stage.run('list-commit data@master -f master~2 -n 1')
  await stage.run('get-file data@master^:/cat')
  await stage.run('get-file data master~2 /cat')
  await stage.run('inspect-file data@master:/dog')
  await stage.run('list-file data@master')
  await stage.run('list-file data@master^:/')
  await stage.run('glob-file data@master~2:/*')
  await stage.run('diff-file data@master:/ data@master~2:/')
  await stage.run('lineage data@master:/dog')
  await stage.run('set-branch data@master^ before')
  await stage.run('list-branch data')

  await stage.run('history data@master:/cat')
  await stage.run('history data master /cat -n 1')
  await stage.run('history data@master:/dog --raw')

  await stage.run('tag-commit data@master^ v1')
  await stage.run('tag-commit data master v2')
  await stage.run('tag-commit data master v1')
  await stage.run('tag-commit data master v1 --move')
  await stage.run('list-commit-tag')
  await stage.run('list-commit-tag data --raw')
  await stage.run('get-file data@v1^:/cat')
  await stage.run('start-commit data@master')
  await stage.run('tag-commit data@master draft -f')
  await stage.run('delete-commit data@draft')
  await stage.run('delete-commit-tag data draft')
  await stage.run('delete-commit data@master')
  await stage.run('delete-commit-tag data@v2')
  await stage.run('delete-branch data@before')
  await stage.run('list-commit-tag data')
  expect(stage.transcript.text).toBe(stage.transcript.stored('names'))
})

const failing: readonly string[] = [
  'inspect-commit data@master~7',
  'inspect-commit data@master~x',
  'inspect-commit data ~3',
  'inspect-commit data master~99999999999',
  'inspect-commit data@nope^',
  'inspect-commit data@',
  'inspect-commit @master',
  'inspect-commit data@master:/cat',
  'get-file data@master',
  'get-file data@master:/cat /dog',
  'get-file data/master /cat',
  'set-branch data@master',
  'set-branch data master a~1',
  'start-commit data a@b',
  'diff-file data@master:/ data@master',
  'flush-commit data@',
  'flush-commit data@master:/cat',
  'put-file data master /cat -m words',
  'history data master /nope',
  'history data@master',
  'tag-commit data master',
  'tag-commit data master master',
  'tag-commit data nope v1',
  'tag-commit data master a:b',
  'delete-commit-tag data v9',
  'list-commit-tag nope',
]

test('names that make no sense are refused in words that help', async () => {
  await using stage = await Stage.open()
  await stage.quietly(['create-repo', 'data'])
  await stage.quietly(['put-file', 'data', 'master', 'cat', '-c'], 'content')
  for (const command of failing) await stage.run(command)
  await stage.quietly(['tag-commit', 'data', 'master', 'v1'])
  await stage.run('set-branch data master v1')
  const tooLong = await stage.quietly(['start-commit', 'data', '-m', 'x'.repeat(5000)])
  expect(tooLong).toMatchObject({ code: 1, out: '' })
  expect(tooLong.err).toContain('at most 4096 bytes are allowed')
  expect(stage.transcript.text).toBe(stage.transcript.stored('names-refused'))
})
