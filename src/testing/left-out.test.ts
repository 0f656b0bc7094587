import { expect, test } from 'vitest'

import { isTested, leaveOut } from './left-out.ts'

const context = {
  skip: (): never => {
    throw new Error('was skipped')
  },
}

test('what the machine lacks leaves a test out, but where none may be', () => {
  expect([isTested(true, false), isTested(false, false), isTested(false, true)]).toEqual([
    true,
    false,
    true,
  ])
  expect(() => leaveOut(context, 'no perl', false)).toThrow('was skipped')
  expect(() => leaveOut(context, 'no perl', true)).toThrow(
    'no perl, and PACHYDERM_TEST_PEERS=required leaves no test out',
  )
})
