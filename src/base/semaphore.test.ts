import { expect, test } from 'vitest'
import { CancelledError } from './errors.ts'
import { Semaphore } from './semaphore.ts'

/** Takes places one after the other, and notes who has one. */
function takers(semaphore: Semaphore): {
  readonly names: readonly string[]
  readonly take: (name: string, signal?: AbortSignal) => Promise<Disposable>
} {
  const names: string[] = []
  const take = async (name: string, signal?: AbortSignal): Promise<Disposable> => {
    const place = await semaphore.take(signal)
    names.push(name)
    return place
  }
  return { names, take }
}

test('no more have a place than there are, the others come in the order in which they asked', async () => {
  const { names, take } = takers(new Semaphore(2))
  const [first, second] = await Promise.all([take('a'), take('b')])
  const others = [take('c'), take('d'), take('e')]
  first[Symbol.dispose]()
  first[Symbol.dispose]()
  await others[0]
  expect(names).toEqual(['a', 'b', 'c'])
  second[Symbol.dispose]()
  await others[1]
  expect(names).toEqual(['a', 'b', 'c', 'd'])
})

test('who is cancelled while waiting takes no place', async () => {
  const { names, take } = takers(new Semaphore(1))
  const place = await take('a')
  const abort = new AbortController()
  const waiting = take('b', abort.signal)
  const last = take('c')
  abort.abort()
  await expect(waiting).rejects.toThrow(CancelledError)
  await expect(take('d', abort.signal)).rejects.toThrow(CancelledError)
  place[Symbol.dispose]()
  await last
  expect(names).toEqual(['a', 'c'])
})

test('a place that nobody waits for is free for who comes later', async () => {
  const { names, take } = takers(new Semaphore(1))
  const place = await take('a')
  place[Symbol.dispose]()
  const second = await take('b')
  second[Symbol.dispose]()
  await take('c')
  expect(names).toEqual(['a', 'b', 'c'])
})
