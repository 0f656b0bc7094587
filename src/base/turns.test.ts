import { expect, test } from 'vitest'
import { Turns } from './turns.ts'

/** An event loop of which each turn is asked for, and a clock that stands still. */
function world(): { nowMs: number; turns: Turns; turn: () => Promise<void> } {
  let waiting: (() => void)[] = []
  const made: ReturnType<typeof world> = {
    nowMs: 0,
    turns: new Turns(
      {
        now: () => 0,
        monotonicMs: () => made.nowMs,
        sleep: () => Promise.reject(new Error('nobody sleeps here')),
      },
      (callback) => waiting.push(callback),
    ),
    async turn() {
      const due = waiting
      waiting = []
      for (const callback of due) {
        callback()
        // What it has woken goes on before the next one is called.
        for (let step = 0; step < 10; step += 1) await Promise.resolve()
      }
    },
  }
  return made
}

test('work goes on for ten milliseconds, then in the next turn', async () => {
  const here = world()
  expect(here.turns.next()).toBeUndefined()
  here.nowMs += 9
  expect(here.turns.next()).toBeUndefined()
  here.nowMs += 1
  let isNext = false
  void here.turns.next()?.then(() => (isNext = true))
  expect(isNext).toBe(false)
  await here.turn()
  expect(isNext).toBe(true)
  expect(here.turns.next()).toBeUndefined()
})

test('of many who wait to do something long, one goes on in a turn', async () => {
  const here = world()
  const done: number[] = []
  const work = async (name: number): Promise<void> => {
    await here.turns.free()
    done.push(name)
    here.nowMs += 50
  }
  const all: Promise<void>[] = []
  for (const name of [0, 1, 2, 3]) {
    all.push(work(name))
    // The first has begun when the next one asks.
    await Promise.resolve()
    await Promise.resolve()
  }
  const counts: number[] = [done.length]
  while (done.length < 4) {
    await here.turn()
    counts.push(done.length)
  }
  await Promise.all(all)
  expect(counts).toEqual([1, 2, 3, 4])
})

test('of steps that are short, one in sixteen looks at the clock', async () => {
  const here = world()
  expect(here.turns.next()).toBeUndefined()
  here.nowMs += 100
  const paused = Array.from({ length: 48 }, () => here.turns.nextOfMany() !== undefined)
  expect(paused.flatMap((isPaused, at) => (isPaused ? [at] : []))).toEqual([15, 31, 47])
})
