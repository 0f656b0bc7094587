import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Stage } from './stage.ts'

async function furnish(stage: Stage): Promise<void> {
  const tables = join(stage.directory, 'tables')
  for (const [path, content] of [
    ['2017-01/cars.csv', 'car,1\n'],
    ['2017-01/notes.txt', 'january\n'],
    ['2017-02/cars.csv', 'car,2\n'],
    ['2017-02/sub/deep.csv', 'deep\n'],
    ['all*.csv', 'starred\n'],
    ['large', 'w'.repeat(600_000)],
  ] as const) {
    await mkdir(join(tables, path, '..'), { recursive: true })
    await writeFile(join(tables, path), content)
  }
  await stage.quietly(['create-repo', 'data'])
  await stage.quietly(['put-file', 'data', 'master', '/', '-c', '-r', '-f', 'tables'])
}

test('files by pattern, trees, archives', async () => {
  await using stage = await Stage.open()
  await furnish(stage)
  const at = (...names: readonly string[]): string => join(stage.directory, ...names)

  await stage.run("get-file data master '/2017-*/*.csv'")
  await stage.run("get-file data master '/all*.csv'")
  await stage.run("get-file data master '/*-02/*'")
  await stage.run("get-file data master '/none*'")
  await stage.run("get-file data master '/2017-*/*.csv' -o tables-only")
  expect((await readdir(at('tables-only'), { recursive: true })).toSorted()).toEqual([
    '2017-01',
    '2017-01/cars.csv',
    '2017-02',
    '2017-02/cars.csv',
  ])
  await stage.run("get-file data master '/2017-02/*' -o flat")
  expect(await readdir(at('flat'))).toEqual(['cars.csv'])
  await stage.run("get-file data master '/2017-02/*' -o deep -r")
  expect(await readFile(at('deep', 'sub', 'deep.csv'), 'utf8')).toBe('deep\n')

  await stage.run('get-file data master /2017-01 -o january')
  await stage.run('get-file data master /2017-01 -r -o january')
  await stage.run('get-file data master / -r -o copy --verify')
  await writeFile(at('copy', '2017-01', 'cars.csv'), 'car,9\n')
  await writeFile(at('copy', 'mine'), 'not of the commit')
  await stage.run('get-file data master / -r -o copy --resume --verify')
  expect(await readFile(at('copy', '2017-01', 'cars.csv'), 'utf8')).toBe('car,1\n')
  expect(await readFile(at('copy', 'mine'), 'utf8')).toBe('not of the commit')
  await stage.run('get-file data master / -r -o copy --resume')
  await stage.run('get-file data master large -o large --verify')
  await stage.run('get-file data master large -o large --resume')
  await stage.run('get-file data master 2017-01/cars.csv -r -o as-file')
  expect(await readFile(at('as-file'), 'utf8')).toBe('car,1\n')
  expect((await readdir(stage.directory)).filter((name) => name.startsWith('.'))).toEqual([])

  await mkdir(at('trap', '2017-02', 'cars.csv'), { recursive: true })
  await symlink(stage.directory, at('trap', '2017-01'))
  await stage.run('get-file data master / -r -o trap')
  expect(await readFile(at('trap', '2017-02', 'sub', 'deep.csv'), 'utf8')).toBe('deep\n')

  await stage.run('get-file data master / -r')
  await stage.run('get-file data master / --resume')
  await stage.run('get-file data master / --tar -o x')
  await stage.run('get-file data master large -o /dev/full')
  await stage.run('get-file data master large -o /dev/null --verify')
  await stage.run('get-file data master large -o no/such/place')
  await stage.run('get-file data master none -o none')
  await stage.run('get-file data master none -r -o none')
  await stage.run('get-file nowhere master / -r -o none')
  await stage.run('get-file --help')
  await stage.run('export data master none s3://bucket/x')
  await stage.run('export data master / elsewhere')
  await stage.run('export data master / https://example.com/x')
  await stage.run('export --help')
  expect(stage.transcript.text).toBe(stage.transcript.stored('get-file'))
})
