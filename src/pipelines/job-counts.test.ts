import { expect, test, vi } from 'vitest'
import { untilKilled } from '../testing/failing-code.ts'
import { findingsInRows } from '../testing/jobs-in-rows.ts'
import { atom, openTestProcessing, type TestProcessing } from '../testing/test-processing.ts'

/** Longer than results wait to be recorded with others. */
const recordedAfterMs = 300

async function countsOf(world: TestProcessing): Promise<readonly number[]> {
  const [job] = await world.processing.jobs.list('p')
  const datums = await Array.fromAsync(world.processing.jobs.datums(job?.id ?? ''))
  return [
    job?.counts.processed ?? -1,
    datums.filter(({ state }) => state === 'success').length,
    datums.length,
  ]
}

test('a job that is killed counts what had ended by then, recorded or not, as its rows do', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const goOn = Promise.withResolvers<void>()
  const isRunning = (path: string): Promise<void> =>
    vi.waitFor(() => expect(world.ran).toContain(path))
  world.code('p', async (files, work) => {
    if (files.has('in/a')) {
      await isRunning('in:/b')
      await new Promise((resolve) => setTimeout(resolve, recordedAfterMs))
      world.duringNextFlush(async () => {
        goOn.resolve()
        // Its slot takes another only when the end of its datum is known.
        await isRunning('in:/d')
      })
      return {}
    }
    if (!files.has('in/b')) return await untilKilled(work)
    await goOn.promise
    return {}
  })
  await world.pipeline('p', atom('in', '/*'), { parallelism: { constant: 2, coefficient: 0 } })
  await world.commit('in', { a: '1', b: '2', c: '3', d: '4', e: '5' })
  await expect.poll(async () => (await countsOf(world))[0]).toBeGreaterThan(0)
  const [job] = await world.processing.jobs.list('p')
  await world.processing.jobs.stop(job?.id ?? '')
  await world.restart()
  expect(await countsOf(world)).toEqual([2, 2, 5])
  expect(await findingsInRows(world)).toEqual([])
})

test('a job that goes on after a restart goes on counting', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('p', async (files, work) => {
    if (files.has('in/c')) return await untilKilled(work)
    await new Promise((resolve) => setTimeout(resolve, recordedAfterMs))
    return {}
  })
  await world.pipeline('p', atom('in', '/*'), { parallelism: { constant: 1, coefficient: 0 } })
  await world.commit('in', { a: '1', b: '2', c: '3' })
  await expect.poll(async () => (await countsOf(world))[0]).toBe(2)
  world.ran.length = 0
  await world.restart()
  await vi.waitFor(() => expect(world.ran).toEqual(['in:/c']))
  expect(await countsOf(world)).toEqual([2, 2, 3])
  const [job] = await world.processing.jobs.list('p')
  await world.processing.jobs.stop(job?.id ?? '')
  await world.restart()
  expect(await countsOf(world)).toEqual([2, 2, 3])
  expect(await findingsInRows(world)).toEqual([])
})
