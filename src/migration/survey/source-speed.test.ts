import { expect, test } from 'vitest'
import { SourceSpeed } from './source-speed.ts'

/** Reads of a store that answers after 20 ms and then brings 1,000 bytes a millisecond, `atOnce` at a time. */
function sampled(sizes: readonly number[], atOnce: number): SourceSpeed {
  const speed = new SourceSpeed()
  let nowMs = 0
  for (let at = 0; at < sizes.length; at += atOnce) {
    const together = sizes.slice(at, at + atOnce).map((bytes) => ({ bytes, ms: 20 + bytes / 1000 }))
    for (const _ of together) speed.busy.begin(nowMs)
    for (const { bytes, ms } of together) {
      speed.add(bytes, ms)
      speed.busy.end(nowMs + ms)
    }
    nowMs += Math.max(...together.map(({ ms }) => ms))
  }
  return speed
}

test('many short objects cost the answers, and few long ones the bytes', () => {
  const speed = sampled([0, 1000, 2000, 5000, 100_000], 1)
  expect(speed.costs.msEach).toBeCloseTo(20)
  expect(speed.costs.msPerByte).toBeCloseTo(0.001)
  expect(speed.msFor({ objects: 1_000_000, bytes: 0 })).toBeCloseTo(20_000_000)
  expect(speed.msFor({ objects: 1, bytes: 1_000_000_000 })).toBeCloseTo(1_000_020)
})

test('what is read at once shares the time', () => {
  const speed = sampled(
    Array.from({ length: 64 }, () => 1000),
    16,
  )
  expect(speed.atOnce).toBeCloseTo(16)
  expect(speed.msFor({ objects: 1600, bytes: 1_600_000 })).toBeCloseTo(2100)
})

test('a sample of none, or of one size, says no more than it knows', () => {
  expect(new SourceSpeed().msFor({ objects: 5, bytes: 5 })).toBe(0)
  const { msEach, msPerByte } = sampled([1000, 1000], 1).costs
  expect([msEach, msPerByte]).toEqual([21, 0])
})
