import { expect, test } from 'vitest'
import { CancelledError } from '../../base/errors.ts'
import { HeldClock } from '../../testing/held-clock.ts'
import { Openings } from './openings.ts'

const { signal } = new AbortController()

/** Takes places one after the other, and notes who has one. */
function takers(openings: Openings): {
  readonly names: readonly string[]
  readonly take: (name: string, until?: AbortSignal) => Promise<Disposable>
} {
  const names: string[] = []
  const take = async (name: string, until = signal): Promise<Disposable> => {
    const place = await openings.take(until)
    names.push(name)
    return place
  }
  return { names, take }
}

test('a few are made at a time, the others in their order', async () => {
  const { names, take } = takers(new Openings(new HeldClock(), 2))
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

test('one that takes long does not keep the others', async () => {
  const clock = new HeldClock()
  const { names, take } = takers(new Openings(clock, 1))
  const slow = await take('slow')
  const next = take('next')
  clock.advance(9999)
  expect(names).toEqual(['slow'])
  clock.advance(1)
  const place = await next
  const last = take('last')
  // Its place is that of another by now.
  slow[Symbol.dispose]()
  expect(names).toEqual(['slow', 'next'])
  place[Symbol.dispose]()
  await last
  expect(names).toEqual(['slow', 'next', 'last'])
})

test('who is cancelled while waiting takes no place', async () => {
  const { names, take } = takers(new Openings(new HeldClock(), 1))
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
