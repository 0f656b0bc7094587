import { expect, test } from 'vitest'

import { SystemClock } from '../base/clock.ts'
import { UnavailableError } from '../base/errors.ts'
import type { JobId } from '../base/names.ts'
import { atom, openTestProcessing } from '../testing/test-processing.ts'
import type { DatumWorkers } from './datum-worker.ts'

const clock = new SystemClock()

test('a job whose image is being pulled says so, and since when', async () => {
  const go = Promise.withResolvers<void>()
  const workers: DatumWorkers = {
    look: async () => {},
    notices: () => [],
    placeOf: () => 'nowhere',
    open: async (_transform, _signal, _secrets, onWait) => {
      onWait?.('pulling image a')
      await go.promise
      throw new UnavailableError('no image')
    },
  }
  await using world = await openTestProcessing(undefined, { workers })
  await world.versioning.repos.create({ name: 'in' })
  await world.pipeline('p', atom('in', '/*'))
  await world.commit('in', { a: 'x' })
  const { active, jobs } = world.processing
  const idOf = async (): Promise<JobId | undefined> => (await jobs.list('p'))[0]?.id
  await expect.poll(idOf).toBeDefined()
  const id = (await idOf()) as JobId
  await expect.poll(() => active.of(id)[0]?.opening?.what).toBe('pulling image a')
  expect(active.of(id)[0]?.opening?.since).toBeLessThan(clock.now())
  go.resolve()
  await jobs.waitForEnd(id, new AbortController().signal)
  expect(active.of(id)).toEqual([])
})
