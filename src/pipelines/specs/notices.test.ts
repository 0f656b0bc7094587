import { expect, test } from 'vitest'
import { atom, transform } from '../../testing/test-processing.ts'
import { checkSpec } from '../specs.ts'
import { specNotices } from './notices.ts'

function noticesOf(glob: string): readonly string[] {
  const now = 0
  const spec = checkSpec({ name: 'p', transform: transform('p'), input: atom('in', glob) }, now)
  return specNotices({ spec, createdAt: now })
}

test.each([
  ['/../..', 'the glob "/../.." of input in is read as "/": "." and ".." are no names of files'],
  ['/a/../b*', 'the glob "/a/../b*" of input in is read as "/b*"'],
  ['/**', 'the glob "/**" of input in has "**", which is "*" here'],
  ['/\\.\\.', 'the glob "/\\\\.\\\\." of input in matches nothing, ever: no file is named ".."'],
])('a glob such as %s that does not do what it seems to is told of', (glob, notice) => {
  expect(noticesOf(glob)).toEqual([expect.stringContaining(notice)])
})

test.each(['/', '/*', '/a*.csv', '/.hidden/*', '/..a'])(
  'nothing is said of the glob %s',
  (glob) => {
    expect(noticesOf(glob)).toEqual([])
  },
)
