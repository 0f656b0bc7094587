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
