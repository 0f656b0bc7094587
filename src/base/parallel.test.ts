import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { ahead, inParallel, oneAhead } from './parallel.ts'

async function* counting(count: number, failure?: Error): AsyncGenerator<number> {
  for (let item = 0; item < count; item += 1) yield item
  if (failure !== undefined) throw failure
}

async function* failing(): AsyncGenerator<number> {
  yield 1
  throw new Error('no second')
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

test('what is read ahead comes in its order, and no more than so many are read', async () => {
  const begun: number[] = []
  const read = async (item: number): Promise<number> => {
    begun.push(item)
    for (let turns = 0; turns < 20 - item; turns += 1) await turn()
    return item
  }
  const got: number[] = []
  for await (const item of ahead(Array(20).keys(), 4, read)) {
    got.push(item)
    expect(begun.length).toBeLessThanOrEqual(got.length + 3)
  }
  expect(got).toEqual([...Array(20).keys()])
})

test('after a failure nothing more is read ahead, and it is thrown when all have ended', async () => {
  const begun: number[] = []
  const ended: number[] = []
  const read = async (item: number): Promise<void> => {
    begun.push(item)
    await turn()
    if (item === 1) throw new Error('the first')
    await turn()
    await turn()
    ended.push(item)
  }
  await expect(Array.fromAsync(ahead(Array(20).keys(), 3, read))).rejects.toThrow('the first')
  expect(begun).toEqual([0, 1, 2, 3])
  expect(ended).toEqual([0, 2, 3])
})

test('one item is asked for while another is at hand, and whoever ends early waits for it', async () => {
  const asked: number[] = []
  let hasEnded = false
  async function* items(): AsyncGenerator<number> {
    try {
      for (let item = 1; item <= 5; item += 1) {
        asked.push(item)
        await turn()
        yield item
      }
    } finally {
      hasEnded = true
    }
  }
  const taken: number[] = []
  for await (const item of oneAhead(items())) {
    taken.push(item)
    expect(asked).toEqual(Array.from({ length: item + 1 }, (_, index) => index + 1))
    if (item === 3) break
  }
  expect({ taken, asked, hasEnded }).toEqual({
    taken: [1, 2, 3],
    asked: [1, 2, 3, 4],
    hasEnded: true,
  })
  expect(await Array.fromAsync(oneAhead(items()))).toEqual([1, 2, 3, 4, 5])
})

test('a failure that is met ahead comes after what was there before it', async () => {
  const taken: number[] = []
  const all = async (): Promise<void> => {
    for await (const item of oneAhead(failing())) taken.push(item)
  }
  await expect(all()).rejects.toThrow('no second')
  expect(taken).toEqual([1])
})
