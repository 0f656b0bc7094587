import { expect, test } from 'vitest'
import { parseFilePath, rootPath } from '../../base/paths.ts'
import { Conflicts, conflictsMax } from './conflicts.ts'

const at = (
  path: string,
): { path: ReturnType<typeof parseFilePath>; obstacle: typeof rootPath } => ({
  path: parseFilePath(path),
  obstacle: rootPath,
})

test('a delete repairs the conflicts at its path and below it, and no others', () => {
  const conflicts = new Conflicts([at('/a'), at('/a/b'), at('/ab')])
  conflicts.add(at('/a/c'))
  conflicts.repair(parseFilePath('/a'))
  expect(conflicts.list).toEqual([at('/ab')])
})

test('more conflicts than are told apart stay until everything is deleted', () => {
  const conflicts = new Conflicts([])
  for (let index = 0; index < conflictsMax * 2; index += 1) conflicts.add(at(`/d/${index}`))
  expect(conflicts.list).toHaveLength(conflictsMax + 1)
  conflicts.repair(parseFilePath('/d'))
  expect(conflicts.list).toHaveLength(1)
  conflicts.repair(rootPath)
  expect(conflicts.list).toEqual([])
})
