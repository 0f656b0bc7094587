import { expect, test } from 'vitest'

import { HeldClock } from '../../testing/held-clock.ts'
import { type ProcessCounts, ProcessWatch } from './process-watch.ts'

const turns = 10

/** A datum, looked at every half second; counts are what the kernel says at each look. */
async function endsOf(seen: readonly (ProcessCounts | 'gone')[]): Promise<readonly string[]> {
  const clock = new HeldClock()
  await using watch = new ProcessWatch(clock)
  const ends: string[] = []
  let lookCount = 0
  const counted = {
    processCountMax: 200,
    processCounts: () => {
      const counts = seen[lookCount++] ?? { refusedCount: 0, isAtBound: false }
      if (counts === 'gone') throw new Error('ENOENT')
      return counts
    },
  }
  using _ = watch.watch(counted, ({ message }) => ends.push(`${lookCount}: ${message}`))
  while (lookCount < seen.length && ends.length === 0) {
    clock.advance(500)
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve()
  }
  return ends
}

/** The refusals that are new, and whether there are as many processes as there may be. */
type Look = readonly [number, boolean]

function looks(...each: readonly Look[]): readonly ProcessCounts[] {
  let refusedCount = 7
  return each.map(([refused, isAtBound]) => {
    refusedCount += refused
    return { refusedCount, isAtBound }
  })
}

function times(count: number, ...values: readonly Look[]): readonly Look[] {
  return Array.from({ length: count }, () => values).flat()
}

const refused: Look = [3, true]
const waiting: Look = [0, true]
const below: Look = [0, false]

test('a datum that is refused processes for five seconds is ended', async () => {
  expect(await endsOf(looks(refused, ...times(30, refused)))).toEqual([
    '11: user code was ended: it came up against its bound of 200 processes and threads, and tried for 5 s to start more',
  ])
})

test('a datum that waits before it tries again is ended, too', async () => {
  expect(await endsOf(looks(waiting, ...times(10, waiting, refused)))).toHaveLength(1)
  expect(await endsOf(looks(waiting, ...times(30, refused, refused, below)))).toHaveLength(1)
})

test('a datum that goes on with what it has is left alone', async () => {
  expect(await endsOf(looks(waiting, ...times(9, refused), ...times(50, waiting)))).toEqual([])
  expect(await endsOf(looks(waiting, ...times(30, refused, below)))).toEqual([])
  const seldom = looks(waiting, ...times(12, refused, ...times(40, waiting)))
  expect(await endsOf(seldom)).toEqual([])
})

test('a look at which the kernel says nothing counts as none', async () => {
  const seen = looks(waiting, ...times(10, refused))
  expect(await endsOf([...seen.slice(0, 5), 'gone', ...seen.slice(5)])).toHaveLength(1)
})
