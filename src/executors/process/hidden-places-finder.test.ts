import { expect, test } from 'vitest'

import { HeldClock } from '../../testing/held-clock.ts'
import { HiddenPlacesFinder } from './hidden-places-finder.ts'
import { RemoteMounts } from './remote-mounts.ts'

const request = {
  hiddenDirectories: [],
  hiddenPaths: [],
  engineSockets: [],
  engineStorage: [],
  engineVariables: {},
  programPath: '/usr/bin',
  peoplesProgramPath: '',
}

test('the process that looks ends when there is nothing to look for, and another looks then', async () => {
  const clock = new HeldClock()
  using finder = new HiddenPlacesFinder(clock, new RemoteMounts(clock))
  const places = await finder.find(request)
  expect(finder.isWarm).toBe(true)
  clock.advance(60_000)
  await expect.poll(() => finder.isWarm).toBe(false)
  expect(await finder.find(request)).toMatchObject({ leftOut: expect.any(Array) as unknown })
  expect(Object.keys(places)).toEqual(expect.arrayContaining(['hiddenDirectories', 'leftOut']))
})

test('one that is disposed of while it looks starts no other process, and waits for nothing', async () => {
  const clock = new HeldClock()
  const finder = new HiddenPlacesFinder(clock, new RemoteMounts(clock))
  const looks = ['/usr/bin', '/bin'].map((programPath) => finder.find({ ...request, programPath }))
  const ends = Promise.allSettled(looks)
  await expect.poll(() => finder.isWarm).toBe(true)
  finder[Symbol.dispose]()
  for (const end of await ends) {
    expect(end).toMatchObject({ status: 'rejected', reason: { name: 'UnavailableError' } })
  }
  expect(finder.isWarm).toBe(false)
  expect(clock.sleeperCount).toBe(0)
})
