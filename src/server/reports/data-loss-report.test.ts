import { expect, test } from 'vitest'
import { DataLossError } from '../../base/errors.ts'
import { dataLossReport } from './data-loss-report.ts'

test('each chunk is reported once, and the memory of them is bounded', () => {
  const told: unknown[] = []
  const report = dataLossReport({ error: (_, cause) => told.push(cause) })
  const first = new DataLossError('chunk 1 is damaged')
  report('1', first)
  report('1', new DataLossError('again'))
  expect(told).toEqual([first])
  for (let chunk = 2; chunk <= 10_001; chunk += 1) report(`${chunk}`, first)
  expect(told).toHaveLength(10_001)
  report('1', first)
  expect(told, 'the oldest is forgotten').toHaveLength(10_002)
})
