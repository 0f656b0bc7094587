import { expect, test, vi } from 'vitest'
import { SystemClock } from '../../base/clock.ts'
import type { PipelineName } from '../../base/names.ts'
import { atom, openTestProcessing, type TestProcessing } from '../../testing/test-processing.ts'
import { dueJobs } from '../job-records.ts'
import { failIfRepoGone } from './lost-repos.ts'
import { findingsInRows, jobStates } from '../../testing/jobs-in-rows.ts'

/** More than some steps. */
const waitingCount = 350
const failedAtOnceMax = 100
const name = 'up' as PipelineName

/** A pipeline whose first job runs until it is ended, with many that wait behind it. */
async function openWorld(): Promise<TestProcessing> {
  const world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const begun = Promise.withResolvers<void>()
  world.code(name, async (_files, { signal }) => {
    begun.resolve()
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    signal.throwIfAborted()
    return {}
  })
  await world.pipeline(name, atom('in', '/*'))
  const commit = await world.commit('in', { a: '1' })
  await begun.promise
  for (let count = 0; count < waitingCount; count += 1) {
    await world.processing.pipelines.run(name, [{ repo: 'in', commit }])
  }
  return world
}

/** Fails the pipeline while nobody else does, as if the server was killed after some steps. */
async function failSteps({ database }: TestProcessing, stepCount: number): Promise<void> {
  const transact = database.transact.bind(database)
  let count = 0
  const spy = vi.spyOn(database, 'transact').mockImplementation(async (work, ...rest) => {
    if (count === stepCount) throw new Error('killed')
    count += 1
    return await transact(work, ...rest)
  })
  const failing = failIfRepoGone({ database, clock: new SystemClock() }, name)
  await expect(failing).rejects.toThrow('killed')
  spy.mockRestore()
}

test('the jobs of a pipeline whose repo is gone fail in small steps, and none begins meanwhile', async () => {
  await using world = await openWorld()
  await world.processing.scheduler[Symbol.asyncDispose]()
  await world.versioning.repos.delete('in', { force: true })
  for (const stepCount of [1, 2]) {
    const failed = (await jobStates(world, name))['failure'] ?? 0
    await failSteps(world, stepCount)
    expect(await jobStates(world, name)).toMatchObject({
      failure: failed + stepCount * failedAtOnceMax,
    })
    expect(await world.processing.pipelines.inspect(name)).toMatchObject({
      state: 'failure',
      recentError: expect.stringContaining('the input repo in has been deleted') as string,
    })
    expect(await world.database.read(dueJobs)).toEqual(new Map())
    expect(await findingsInRows(world)).toEqual([])
  }
  await world.restart()
  await expect.poll(() => jobStates(world, name)).toEqual({ failure: waitingCount + 1 })
  expect(world.ran).toHaveLength(1)
})

test('jobs that a kill has left wait on when the repo is back, and fail one by one', async () => {
  await using world = await openWorld()
  await world.processing.scheduler[Symbol.asyncDispose]()
  await world.versioning.repos.delete('in', { force: true })
  await failSteps(world, 3)
  await world.versioning.repos.create({ name: 'in' })
  await world.restart()
  const left = 1 + waitingCount - 3 * failedAtOnceMax
  expect(await jobStates(world, name)).toMatchObject({ starting: left })
  await world.processing.pipelines.start(name)
  await expect.poll(() => jobStates(world, name)).toEqual({ failure: waitingCount + 1 })
  expect(world.ran).toHaveLength(1)
  const [last] = await world.processing.jobs.list(name)
  expect(last?.reason).toBe(`an input commit of job ${last?.id} has been deleted`)
})

test('a repo that is gone is told to everybody who asks, and one that is there to nobody', async () => {
  await using world = await openWorld()
  await world.processing.scheduler[Symbol.asyncDispose]()
  const ports = { database: world.database, clock: new SystemClock() }
  expect(await failIfRepoGone(ports, name)).toBe(false)
  await world.versioning.repos.delete('in', { force: true })
  const asked = [failIfRepoGone(ports, name), failIfRepoGone(ports, name)]
  expect(await Promise.all(asked)).toEqual([true, true])
  expect(await failIfRepoGone(ports, name)).toBe(true)
})
