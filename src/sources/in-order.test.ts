import { expect, test } from 'vitest'
import { inOrder } from './in-order.ts'

async function* numbers(count: number): AsyncGenerator<number> {
  for (let index = 0; index < count; index += 1) yield index
}

test('results come in the order of their items, and no more are worked on than asked for', async () => {
  let running = 0
  let most = 0
  const results: number[] = []
  for await (const result of inOrder(numbers(50), 7, async (item) => {
    running += 1
    most = Math.max(most, running)
    // The later ones of each seven are done first.
    await new Promise((resolve) => setTimeout(resolve, 14 - (item % 7) * 2))
    running -= 1
    return item * 2
  })) {
    results.push(result)
  }
  expect(results).toEqual(Array.from({ length: 50 }, (_, index) => index * 2))
  expect(most).toBe(7)
})

test('a failure aborts what is under way, waits for it, and begins nothing else', async () => {
  const begun: number[] = []
  let ended = 0
  const work = async (item: number, signal: AbortSignal): Promise<number> => {
    begun.push(item)
    if (item === 2) throw new Error('it failed')
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    ended += 1
    return item
  }
  const drain = async (): Promise<void> => {
    for await (const _ of inOrder(numbers(100), 4, work)) expect(_).toBe('nothing')
  }
  await expect(drain()).rejects.toThrow('it failed')
  expect(begun.length).toBeLessThanOrEqual(4)
  expect(ended).toBe(begun.length - 1)
})

test('a reader that leaves ends everything', async () => {
  let isClosed = false
  async function* endless(): AsyncGenerator<number> {
    try {
      for (let index = 0; ; index += 1) yield index
    } finally {
      isClosed = true
    }
  }
  for await (const result of inOrder(endless(), 3, async (item) => item)) if (result === 5) break
  expect(isClosed).toBe(true)
})
