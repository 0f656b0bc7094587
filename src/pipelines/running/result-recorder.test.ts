import { expect, test, vi } from 'vitest'

import { untilKilled } from '../../testing/failing-code.ts'
import { HeldClock } from '../../testing/held-clock.ts'
import { atom, openTestProcessing, type TestProcessing } from '../../testing/test-processing.ts'

/** A loaded machine takes its time. */
const patient = { timeout: 60_000 }
const two = { parallelism: { constant: 2, coefficient: 0 } }

async function recordedIn({ database }: TestProcessing): Promise<readonly unknown[]> {
  return await database.read((tx) => tx.all('SELECT datum FROM datum_results'))
}

/** Begins a job of which one datum ends when another has begun, which ends when `end` is called. */
async function runQuickBesideSlow(
  world: TestProcessing,
  onSlow: () => void = () => {},
): Promise<{ readonly commit: string; readonly end: () => void }> {
  const mayEnd = Promise.withResolvers<void>()
  const hasBegun = Promise.withResolvers<void>()
  world.code('p', async (files) => {
    if (files.has('in/slow')) {
      onSlow()
      hasBegun.resolve()
      await mayEnd.promise
    } else {
      await hasBegun.promise
    }
    return {}
  })
  await world.pipeline('p', atom('in', '/*'), two)
  const commit = await world.commit('in', { quick: '1', slow: '2' })
  return { commit, end: () => mayEnd.resolve() }
}

test('a datum that has ended is recorded soon, however long the others run', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const { commit, end } = await runQuickBesideSlow(world)
  try {
    await expect.poll(() => recordedIn(world)).toHaveLength(1)
  } finally {
    end()
  }
  await world.flush('in', commit)
  expect(await recordedIn(world)).toHaveLength(2)
})

test('what has ended waits while the disk is full, the job says so, and nothing runs again', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const { commit, end } = await runQuickBesideSlow(world, () => world.failFlushes(2))
  const reason = async (): Promise<string | undefined> =>
    (await world.processing.jobs.list('p'))[0]?.reason
  await expect.poll(reason, patient).toBe('the disk is full (retrying)')
  await expect.poll(reason, patient).toBe('')
  expect(await recordedIn(world)).toHaveLength(1)
  end()
  await world.flush('in', commit)
  expect(world.ran.toSorted()).toEqual(['in:/quick', 'in:/slow'])
  expect((await world.processing.jobs.list('p'))[0]).toMatchObject({
    state: 'success',
    counts: { processed: 2 },
  })
})

test('while nothing runs, the time for which results wait for the disk does not come to a job_timeout', async () => {
  const clock = new HeldClock()
  const sleep = vi.spyOn(clock, 'sleep')
  await using world = await openTestProcessing(undefined, { clock })
  await world.versioning.repos.create({ name: 'in' })
  world.code('p', () => {
    // Results are recorded without waiting for others.
    clock.advance(300)
    world.failFlushes(2)
    return {}
  })
  await world.pipeline('p', atom('in', '/*'), { jobTimeoutMs: 60_000 })
  const commit = await world.commit('in', { a: '1' })
  const newest = async () => (await world.processing.jobs.list('p'))[0]
  // Those after errors are not whole, by chance.
  const hasPaused = (): boolean =>
    sleep.mock.calls.some(([ms]) => ms > 500 && ms < 750 && ms % 1 > 0)
  await expect.poll(hasPaused, patient).toBe(true)
  expect(await newest()).toMatchObject({ state: 'running', reason: 'the disk is full (retrying)' })
  world.failFlushes(0)
  clock.advance(3_600_000)
  await world.flush('in', commit)
  expect(await newest()).toMatchObject({ state: 'success' })
})

test('what has ended is recorded when the server stops, so that only what ran is run again', async () => {
  await using world = await openTestProcessing(undefined, { clock: new HeldClock() })
  await world.versioning.repos.create({ name: 'in' })
  world.code('p', async (files, { signal }) => {
    if (files.has('in/slow')) await untilKilled({ signal })
    return {}
  })
  await world.pipeline('p', atom('in', '/*'), two)
  await world.commit('in', { quick: '1', slow: '2' })
  const [job] = await world.processing.jobs.list('p')
  if (job === undefined) throw new Error('the commit made a job')
  const activePaths = (): readonly string[] =>
    world.processing.active.of(job.id).flatMap(({ members }) => members.map(({ path }) => path))
  await expect.poll(() => world.ran.toSorted()).toEqual(['in:/quick', 'in:/slow'])
  await expect.poll(activePaths).toEqual(['/slow'])
  expect(await recordedIn(world)).toEqual([])
  await world.restart()
  expect(await recordedIn(world)).toHaveLength(1)
  await expect.poll(() => world.ran).toHaveLength(3)
  expect(world.ran.at(-1)).toBe('in:/slow')
})

test('what cannot be recorded at all ends the run at once, and the next one begins', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const hasBegun = Promise.withResolvers<void>()
  let slowCount = 0
  world.code('p', async (files, { signal }) => {
    if (files.has('in/quick')) {
      await hasBegun.promise
      return {}
    }
    slowCount += 1
    if (slowCount > 1) return {}
    world.duringNextFlush(async () => {
      throw new Error('a bug')
    })
    hasBegun.resolve()
    return await untilKilled({ signal })
  })
  await world.pipeline('p', atom('in', '/*'), two)
  const commit = await world.commit('in', { quick: '1', slow: '2' })
  await world.flush('in', commit)
  expect(slowCount).toBe(2)
  expect(world.errors.splice(0)).toHaveLength(1)
})
