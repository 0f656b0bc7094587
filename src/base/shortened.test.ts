import { expect, test } from 'vitest'
import { parsePipelineName } from './names.ts'
import { shortened } from './shortened.ts'

test('a message quotes as much of a text as people read', () => {
  expect(shortened('short')).toBe('short')
  expect(shortened('x'.repeat(3_000_000))).toBe(`${'x'.repeat(200)}… (2999800 more characters)`)
  expect(shortened('ab😀d', 3)).toBe('ab\ufffd… (2 more characters)')
})

test('a name that is far too long is refused in few words', () => {
  const refusal = /^pipeline name \(n{255}… \(2999745 more characters\)\) invalid: .{0,200}$/
  expect(() => parsePipelineName('n'.repeat(3_000_000))).toThrow(refusal)
})
