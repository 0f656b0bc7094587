import { expect, test } from 'vitest'
import { CancelledError } from '../../base/errors.ts'
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

test('who is cancelled while waiting takes no place', async () => {
  const openings = new Openings(new HeldClock(), 1)
  const place = await openings.take(signal)
  const abort = new AbortController()
  const waiting = openings.take(abort.signal)
  const last = openings.take(signal)
  abort.abort()
  await expect(waiting).rejects.toThrow(CancelledError)
  await expect(openings.take(abort.signal)).rejects.toThrow(CancelledError)
  place[Symbol.dispose]()
  await last
})
