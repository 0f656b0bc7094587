import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { inParallel } from './parallel.ts'

async function* counting(count: number, failure?: Error): AsyncGenerator<number> {
  for (let item = 0; item < count; item += 1) yield item
  if (failure !== undefined) throw failure
}

test('every item is worked on, and no more than so many at once', async () => {
  let running = 0
  let runningMax = 0
  const done: number[] = []
  await inParallel(counting(20), 3, async (item) => {
    running += 1
    runningMax = Math.max(runningMax, running)
    await turn()
    running -= 1
    done.push(item)
  })
  expect(done.toSorted((one, other) => one - other)).toEqual([...Array(20).keys()])
  expect(runningMax).toBe(3)
})

test('after a failure no other is begun, and it is thrown when all have ended', async () => {
  const begun: number[] = []
  const ended: number[] = []
  const all = inParallel(counting(20), 3, async (item) => {
    begun.push(item)
    await turn()
    if (item === 1) throw new Error('the first')
    await turn()
    ended.push(item)
    if (item === 2) throw new Error('the second')
  })
  await expect(all).rejects.toThrow('the first')
  expect(begun.length).toBeLessThan(6)
  expect(ended).toEqual(begun.filter((item) => item !== 1))
})

test('a failure of the items is thrown when all that had begun have ended', async () => {
  const ended: number[] = []
  const all = inParallel(counting(2, new Error('no more items')), 3, async (item) => {
    await turn()
    ended.push(item)
  })
  await expect(all).rejects.toThrow('no more items')
  expect(ended).toEqual([0, 1])
})
