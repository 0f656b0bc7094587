import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { allowEpollWatches } from './epoll-watches.ts'

test('more watches are allowed than memory has room for, and never fewer than before', async () => {
  await using directory = await TemporaryDirectory.create()
  const file = directory.join('max_user_watches')
  writeFileSync(file, '1000\n')
  expect(allowEpollWatches(1_280_000, file)).toEqual({ before: 1000, after: 10_000 })
  expect(readFileSync(file, 'utf8')).toBe('10000\n')
  expect(allowEpollWatches(1_279_000, file)).toBe(undefined)
  expect(readFileSync(file, 'utf8')).toBe('10000\n')
})

test('where there is no such limit, or none that can be read, nothing is done', async () => {
  await using directory = await TemporaryDirectory.create()
  const file = directory.join('max_user_watches')
  expect(allowEpollWatches(1_280_000, file)).toBe(undefined)
  writeFileSync(file, 'many\n')
  expect(allowEpollWatches(1_280_000, file)).toBe(undefined)
  expect(readFileSync(file, 'utf8')).toBe('many\n')
})
