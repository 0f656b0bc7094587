import { expect, test } from 'vitest'
import { parseFilePath } from '../../base/paths.ts'
import type { DatumMember } from '../datums.ts'
import { outermostMembers } from './outermost-members.ts'

function member(input: string, path: string): DatumMember {
  return { input, path: parseFilePath(path), hash: new Uint8Array() }
}

function placesOf(members: readonly DatumMember[]): readonly string[] {
  return members.map(({ input, path }) => `${input}:${path}`)
}

test('what lies in a directory that is shown is not shown again, whatever sorts in between', () => {
  const members = [
    member('b', '/x'),
    member('a', '/d/e/f'),
    member('a', '/d-e'),
    member('a', '/d'),
    member('a', '/d'),
    member('b', '/d/e'),
  ]
  expect(placesOf(outermostMembers(members))).toEqual(['a:/d', 'a:/d-e', 'b:/d/e', 'b:/x'])
  expect(placesOf(outermostMembers([member('a', '/d'), member('a', '/')]))).toEqual(['a:'])
})

test('the cost of looking through many members is theirs, not that of all pairs', () => {
  let lookCount = 0
  const members = Array.from({ length: 5000 }, (_, index) => {
    const { path, ...rest } = member('a', `/${index}/f`)
    return {
      ...rest,
      get path() {
        lookCount += 1
        return path
      },
    }
  })
  expect(outermostMembers(members)).toHaveLength(5000)
  expect(lookCount).toBeLessThan(50 * 5000)
})
