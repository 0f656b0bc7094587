import { expect, test, vi } from 'vitest'
import type { PipelineName } from '../base/names.ts'
import type { RequestedSpec } from './requested-specs.ts'
import { dueJobs } from './job-records.ts'
import { killNotedJobs } from './killed-jobs.ts'
import {
  atom,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'
import { findingsInRows, jobStates } from '../testing/jobs-in-rows.ts'

/** More than some steps. */
const waitingCount = 350
const killedAtOnceMax = 100

/** A pipeline whose first job runs until it is ended, with many that wait behind it. */
async function openWorld(): Promise<TestProcessing> {
  const world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const begun = Promise.withResolvers<void>()
  world.code('slow', async (_files, { signal }) => {
    begun.resolve()
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    signal.throwIfAborted()
    return {}
  })
  world.code('fast', (files) => Object.fromEntries(files))
  await world.pipeline('slow', atom('in', '/*'))
  const commit = await world.commit('in', { a: '1' })
  await begun.promise
  for (let count = 0; count < waitingCount; count += 1) {
    await world.processing.pipelines.run('slow', [{ repo: 'in', commit }])
  }
  return world
}

function spec(more: RequestedSpec = {}): RequestedSpec {
  return { name: 'slow', transform: transform('fast'), input: atom('in', '/*'), ...more }
}

/** As if the server was killed once `change` has taken place, and before what follows in steps. */
async function killedAfter(
  { database }: TestProcessing,
  change: () => Promise<unknown>,
): Promise<void> {
  const read = database.read.bind(database)
  const spy = vi.spyOn(database, 'read').mockImplementation(async (work, ...rest) => {
    if (new Error('here').stack?.includes('killNotedJobs') === true) throw new Error('killed')
    return await read(work, ...rest)
  })
  await expect(change()).rejects.toThrow('killed')
  spy.mockRestore()
}

test('an update that stops jobs which wait does so in small steps, and they never begin', async () => {
  await using world = await openWorld()
  const { database, processing } = world
  await killedAfter(world, () => processing.pipelines.update(spec(), { reprocess: true }))
  // Those that run are ended at once, and some of the others.
  expect(await jobStates(world, 'slow')).toMatchObject({ killed: killedAtOnceMax + 1 })
  expect(await findingsInRows(world)).toEqual([])
  await world.restart()
  await expect.poll(() => jobStates(world, 'slow')).toMatchObject({ success: 1 })
  const due = await database.read(dueJobs)
  expect(due.get('slow' as PipelineName)).toBeUndefined()

  const transactions = vi.spyOn(database, 'transact')
  await killNotedJobs(database)
  expect(transactions).toHaveBeenCalledTimes(3)
  transactions.mockRestore()
  await Promise.all([killNotedJobs(database), killNotedJobs(database)])
  expect(await jobStates(world, 'slow')).toEqual({ killed: waitingCount + 1, success: 1 })
  const killed = (await processing.jobs.list('slow')).filter(({ state }) => state === 'killed')
  const reasons = new Set(killed.map(({ reason }) => reason))
  expect(reasons).toEqual(new Set(['pipeline slow was updated']))
  expect(await findingsInRows(world)).toEqual([])
})

test('jobs that are about to be killed are no part of a plan, and do not stand in the way of others', async () => {
  await using world = await openWorld()
  const { processing } = world
  await world.versioning.repos.create({ name: 'other' })
  const elsewhere = spec({ input: atom('other', '/*') })
  await killedAfter(world, () => processing.pipelines.update(elsewhere, { reprocess: false }))
  const { signal } = new AbortController()
  const planned = { request: spec(), options: { reprocess: false } }
  const steps = await Array.fromAsync(processing.plans.plan(planned, { signal }))
  expect(steps).toMatchObject([{ outline: { stopped: [], jobCount: 1 } }, { kind: 'job' }])
  await processing.pipelines.update(spec(), { reprocess: false })
  await expect
    .poll(() => jobStates(world, 'slow'))
    .toEqual({ killed: waitingCount + 1, success: 1 })
})

test('jobs that wait are killed in small steps behind the deletion of their pipeline', async () => {
  await using world = await openWorld()
  const { database, processing } = world
  const options = { deleteJobs: false, deleteRepo: false }
  await killedAfter(world, () => processing.pipelines.delete('slow', options))
  expect(await jobStates(world, 'slow')).toMatchObject({ starting: waitingCount - killedAtOnceMax })
  expect(await findingsInRows(world)).toEqual([])
  await killNotedJobs(database)
  expect(await jobStates(world, 'slow')).toEqual({ killed: waitingCount + 1 })
  const reasons = new Set((await processing.jobs.list('slow')).map(({ reason }) => reason))
  expect(reasons).toEqual(new Set(['pipeline slow was deleted']))
})

test('an update that jobs outlive touches few of them, and each runs as it', async () => {
  await using world = await openWorld()
  const { database, processing } = world
  await processing.pipelines.update(spec({ outputBranch: 'other' }), { reprocess: false })
  const touched = await database.read((tx) =>
    tx.all('SELECT id FROM jobs WHERE pipeline_version = 2'),
  )
  expect(touched.length).toBeLessThan(waitingCount)
  await expect
    .poll(() => jobStates(world, 'slow'), { timeout: 60_000 })
    .toEqual({ success: waitingCount + 1 })
  const jobs = await processing.jobs.list('slow')
  expect(
    new Set(jobs.map(({ pipelineVersion, outputBranch }) => `${pipelineVersion} ${outputBranch}`)),
  ).toEqual(new Set(['2 other']))
  expect(await findingsInRows(world)).toEqual([])
})
