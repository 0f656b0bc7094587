import { expect, test } from 'vitest'
import { bytesSumMax } from '../base/byte-sums.ts'
import { addStats, noStats } from './process-stats.ts'

test('what datums read and wrote is added up to the largest count that is stored', () => {
  const large = { ...noStats, downloadBytes: 2 ** 52, uploadBytes: 1, processMs: 3 }
  const sum = addStats(addStats(large, large), large)
  expect(sum).toEqual({ ...noStats, downloadBytes: bytesSumMax, uploadBytes: 3, processMs: 9 })
})
