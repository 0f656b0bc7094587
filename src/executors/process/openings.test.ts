import { expect, test } from 'vitest'
import { HeldClock } from '../../testing/held-clock.ts'
import { Openings } from './openings.ts'

const { signal } = new AbortController()

test('one that takes long does not keep the others', async () => {
  const clock = new HeldClock()
  const openings = new Openings(clock, 1)
  const names: string[] = []
  const take = async (name: string): Promise<Disposable> => {
    const place = await openings.take(signal)
    names.push(name)
    return place
  }
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
