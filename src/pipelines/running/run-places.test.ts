import { expect, test } from 'vitest'
import { RunPlaces } from './run-places.ts'

test('no more run at once than there are places, and all come in the order in which they asked', async () => {
  const places = new RunPlaces(2)
  const events: string[] = []
  const first = await places.take()
  const second = await places.take()
  const later = ['c', 'd'].map(async (name) => {
    const turn = await places.take()
    events.push(name)
    return turn
  })
  await Promise.resolve()
  expect(events).toEqual([])
  second[Symbol.dispose]()
  second[Symbol.dispose]()
  const third = await later[0]
  expect(events).toEqual(['c'])
  first[Symbol.dispose]()
  await later[1]
  third?.[Symbol.dispose]()
  expect(events).toEqual(['c', 'd'])
  await places.take()
})
