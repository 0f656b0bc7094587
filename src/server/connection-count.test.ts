import { expect, test } from 'vitest'
import { connectionCountMax } from './connection-count.ts'

test.each([
  [Infinity, 10_000],
  [20_000, 10_000],
  [4096, 3096],
  [1024, 256],
  [64, 16],
])('of %d open files, connections may have %d', (files, connections) => {
  expect(connectionCountMax(files)).toBe(connections)
})

test('the limit of this process is known', () => {
  expect(connectionCountMax()).toBeGreaterThan(0)
})
