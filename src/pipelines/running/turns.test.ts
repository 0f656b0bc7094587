import { expect, test } from 'vitest'
import { Turns } from './turns.ts'

test('no more run at once than there are turns, and all come in the order in which they asked', async () => {
  const turns = new Turns(2)
  const events: string[] = []
  const first = await turns.take()
  const second = await turns.take()
  const later = ['c', 'd'].map(async (name) => {
    const turn = await turns.take()
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
  await turns.take()
})
