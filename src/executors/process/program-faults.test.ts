import { expect, test } from 'vitest'

import { programFault } from './program-faults.ts'

test('what is there and is no file cannot be started, and is not missing', () => {
  expect(programFault('/usr', '')).toBe('unstartable')
  expect(programFault('/nonexistent', '')).toBe('missing')
  expect(programFault('usr', '/')).toBe('missing')
  expect(programFault('/bin/sh', '')).toBeUndefined()
})
