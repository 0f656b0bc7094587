import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { SpreadOf } from './spread.ts'

const values = fc.array(fc.oneof(fc.nat(), fc.double({ min: 0, max: 1e12, noNaN: true })), {
  minLength: 1,
})

function spreadOf(all: readonly number[]) {
  const spread = new SpreadOf()
  for (const value of all) spread.add(value)
  return spread.spread()
}

/** By the definition: the least of them that so great a part does not exceed. */
function percentile(all: readonly number[], part: number): number {
  const sorted = all.toSorted((left, right) => left - right)
  return sorted.find((_, index) => index + 1 >= part * sorted.length) ?? 0
}

test('few values have the mean, the deviation and the percentiles that the definitions give', () => {
  fc.assert(
    fc.property(values, (all) => {
      const { count, mean, deviation, min, p5, median, p95, p99, max } = spreadOf(all)
      const sum = all.reduce((total, value) => total + value, 0)
      const squares = all.reduce((total, value) => total + (value - sum / all.length) ** 2, 0)
      expect(count).toBe(all.length)
      expect(Math.abs(mean - sum / all.length)).toBeLessThanOrEqual(1e-9 * Math.max(1, max))
      expect(Math.abs(deviation - Math.sqrt(squares / all.length))).toBeLessThanOrEqual(
        1e-6 * Math.max(1, max),
      )
      expect([min, max]).toEqual([Math.min(...all), Math.max(...all)])
      const expected = [0.05, 0.5, 0.95, 0.99].map((part) => percentile(all, part))
      expect([p5, median, p95, p99]).toEqual(expected)
    }),
  )
})

test('of many values, percentiles are off by at most one in a hundred', () => {
  const all = Array.from({ length: 50_000 }, (_, index) => ((index * 7919) % 50_000) ** 2 / 1000)
  const { count, p5, median, p95, p99, max } = spreadOf(all)
  expect([count, max]).toEqual([50_000, Math.max(...all)])
  for (const [found, part] of [
    [p5, 0.05],
    [median, 0.5],
    [p95, 0.95],
    [p99, 0.99],
  ] as const) {
    const exact = percentile(all, part)
    expect(Math.abs(found - exact)).toBeLessThanOrEqual(exact * 0.0101)
  }
})

test('nothing at all is spread over nothing', () => {
  expect(new Set(Object.values(spreadOf([])))).toEqual(new Set([0]))
})
