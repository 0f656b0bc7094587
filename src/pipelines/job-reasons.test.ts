import { expect, test, vi } from 'vitest'
import { migrations } from '../server/migrations.ts'
import { untilKilled } from '../testing/failing-code.ts'
import { openPackedStore } from '../testing/packed-store.ts'
import {
  atom,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'

/** Files of each side of a cross: finding its datums takes a second or more. */
const sideCount = 200
/** A loaded machine takes its time. */
const patient = { timeout: 60_000, interval: 5 }

async function reasonOf({ processing }: TestProcessing): Promise<string> {
  const [job] = await processing.jobs.list('p')
  return job === undefined ? '' : (await processing.jobs.reasonsOf([job]))(job)
}

/** A world in which the job of `p` is finding its datums, and says so. */
async function openPlanning(): Promise<TestProcessing> {
  await using opened = new AsyncDisposableStack()
  const packed = opened.use(await openPackedStore({ migrations }))
  const world = opened.use(await openTestProcessing(packed))
  const names = Array.from({ length: sideCount }, (_, index) => [`${index}`, ''] as const)
  for (const repo of ['left', 'right']) {
    await world.versioning.repos.create({ name: repo })
    await world.commit(repo, Object.fromEntries(names))
  }
  world.code('p', () => ({}))
  await world.pipeline('p', { cross: [atom('left', '/*'), atom('right', '/*')] })
  await vi.waitFor(async () => {
    expect(await reasonOf(world)).toMatch(/^finding its datums: \d+,000 so far$/)
  }, patient)
  const parts = opened.move()
  return Object.assign(world, { [Symbol.asyncDispose]: () => parts.disposeAsync() })
}

test('a job that is stopped while it finds its datums does not go on with that', async () => {
  await using world = await openPlanning()
  const { jobs, pipelines } = world.processing
  const [job] = await jobs.list('p')
  await jobs.stop(job?.id ?? '')
  const one = { cross: [atom('left', '/1'), atom('right', '/1')] }
  await pipelines.update({ name: 'p', input: one, transform: transform('p') }, { reprocess: false })
  const [next] = await jobs.list('p')
  await jobs.waitForEnd(next?.id ?? '', new AbortController().signal)
  const [second, first] = await jobs.list('p')
  expect(second).toMatchObject({ state: 'success', counts: { total: 1 } })
  // What it had found by then is not noted.
  expect(first).toMatchObject({ state: 'killed', counts: { total: 0 }, datumSet: undefined })
  expect(await reasonOf(world)).toBe('')
})

test('a server that stops ends the finding of datums, and the next one begins it anew', async () => {
  await using world = await openPlanning()
  await world.restart()
  const [job] = await world.processing.jobs.list('p')
  expect(job).toMatchObject({ state: 'running', counts: { total: 0 } })
})

test('a job_timeout covers the finding of datums', async () => {
  await using world = await openPlanning()
  const { jobs } = world.processing
  const [job] = await jobs.list('p')
  await world.database.transact((tx) =>
    tx.run(`UPDATE pipeline_versions
      SET spec = replace(spec, '{"name"', '{"jobTimeoutMs":100,"name"')`),
  )
  await world.restart()
  expect(await jobs.waitForEnd(job?.id ?? '', new AbortController().signal)).toMatchObject({
    state: 'killed',
    reason: 'it ran longer than the job_timeout of 100ms',
    counts: { total: 0 },
  })
})

test('a job of a pipeline that is stopped says so, and how it goes on', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const begun = Promise.withResolvers<void>()
  world.code('p', async (_files, work) => {
    begun.resolve()
    return await untilKilled(work)
  })
  await world.pipeline('p', atom('in', '/*'))
  await world.commit('in', { a: '1' })
  await begun.promise
  await world.commit('in', { b: '1' })
  const { jobs, pipelines } = world.processing
  const all = await jobs.list('p')
  const reasons = async (): Promise<readonly string[]> => all.map(await jobs.reasonsOf(all))
  expect(all.map(({ state }) => state)).toEqual(['starting', 'running'])
  expect(await reasons()).toEqual(['', ''])
  await pipelines.stop('p')
  expect(await reasons()).toEqual([
    'pipeline p is stopped; the job begins after "pachctl start-pipeline p"',
    'pipeline p is stopped; the job goes on after "pachctl start-pipeline p"',
  ])
  await pipelines.start('p')
  expect(await reasons()).toEqual(['', ''])
})
