import { expect, test } from 'vitest'
import { type GoodSnapshot, newest, spreadOverTime } from './retention.ts'
import type { SnapshotName } from './format.ts'

const minute = 60_000_000
const hour = 60 * minute
const day = 24 * hour

/** What stays of snapshots that are taken one after another, each time all but those that are kept being forgotten. */
function keptAfter(times: Iterable<number>): readonly number[] {
  let good: readonly GoodSnapshot[] = []
  for (const takenAt of times) {
    good = spreadOverTime([...good, { name: String(takenAt) as SnapshotName, takenAt }])
    expect(good.at(-1)?.takenAt).toBe(takenAt)
    expect(good.length).toBeLessThanOrEqual(9)
  }
  return good.map(({ takenAt }) => takenAt)
}

function* every(micros: number, untilMicros: number): Generator<number> {
  for (let at = 1_700_000_000_000_000; at < 1_700_000_000_000_000 + untilMicros; at += micros)
    yield at
}

test.each([
  ['once an hour', hour],
  ['again and again', 7 * minute],
])('of copies that are made %s, some are hours, days and weeks old', (_, micros) => {
  const kept = keptAfter(every(micros, 40 * day))
  const now = kept.at(-1) ?? 0
  const ages = kept.map((at) => now - at)
  for (const [least, most] of [
    [hour, 3 * hour],
    [day, 3 * day],
    [7 * day, 21 * day],
  ] as const) {
    expect(ages.filter((age) => age >= least && age <= most)).not.toEqual([])
  }
})

test('of few, all stay that are of different hours, and of one hour the last', () => {
  const start = 472_222 * hour
  const times = [start, start + 10 * minute, start + hour, start + 5 * hour]
  expect(keptAfter(times)).toEqual(times.slice(1))
})

test('the newest of a count stay, and one at least', () => {
  const good = [1, 2, 3].map((takenAt) => ({ name: String(takenAt) as SnapshotName, takenAt }))
  expect(newest(2)(good)).toEqual(good.slice(1))
  expect(newest(0)(good)).toEqual(good.slice(2))
})
