import { expect, test, vi } from 'vitest'
import type { FilePath } from '../base/paths.ts'
import { failing, untilKilled } from '../testing/failing-code.ts'
import { findingsInRows } from '../testing/jobs-in-rows.ts'
import {
  atom,
  atomNamed,
  openTestProcessing,
  type TestProcessing,
} from '../testing/test-processing.ts'

import { encodeLog } from './datum-logs.ts'
import { insertFailure } from './datum-results.ts'
import { datumKey } from './datums.ts'
import { forgetFailures } from './job-counts.ts'
import { noStats } from './process-stats.ts'

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

test('of a datum that is in two places one counts, whoever finds its result, also after a restart', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  let runCount = 0
  world.code('p', async (_, work) => {
    runCount += 1
    return runCount === 30 ? await untilKilled(work) : {}
  })
  const branch = atomNamed('in', '/*', { name: 'both' })
  const parallelism = { constant: 1, coefficient: 0 }
  await world.pipeline('p', { union: [branch, branch] }, { parallelism })
  const files = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`f${at}`, `${at}`]))
  const commit = await world.commit('in', files)
  await expect.poll(() => runCount).toBe(30)
  await world.restart()
  await world.flush('in', commit)
  const [job] = await world.processing.jobs.list('p')
  expect(job?.counts).toMatchObject({ processed: 50, skipped: 50, total: 100 })
  expect(await findingsInRows(world)).toEqual([])
})

test('failures of an interrupted run are forgotten in small steps, none of which leaves a count that is wrong', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('p', async (files, work) =>
    files.has('in/a') ? failing('exit code 3') : await untilKilled(work),
  )
  const spec = { datumTries: 1, parallelism: { constant: 2, coefficient: 0 } }
  await world.pipeline('p', atom('in', '/*'), spec)
  await world.commit('in', { a: '1', b: '2' })
  const { jobs } = world.processing
  const newest = async () => (await jobs.list('p'))[0]
  await expect.poll(async () => (await newest())?.counts.failed).toBe(1)
  const job = await newest()
  if (job === undefined) throw new Error('the commit made a job')
  const manyCount = 1100
  await world.database.transact(async (tx) => {
    for (let count = 0; count < manyCount; count += 1) {
      const hash = Uint8Array.of(count >> 8, count & 255)
      const members = [{ input: 'in', path: `/${count}` as FilePath, hash }]
      const datum = datumKey(job, members)
      const rest = { reason: 'no', isRecovered: false, stats: noStats, finishedAt: 1, worker: '' }
      await insertFailure(tx, { datum, members, job: job.id, log: encodeLog([]), ...rest })
    }
    await tx.run('UPDATE job_rows SET datum_total = ?, datum_failed = ?', 2000, manyCount + 1)
  })
  const failureCount = async (): Promise<number> => {
    const rows = await world.database.read((tx) => tx.all('SELECT datum FROM datum_failures'))
    return rows.length
  }
  const { signal } = new AbortController()
  let stepsLeft = 2
  const transact: typeof world.database.transact = async (work) => {
    if (stepsLeft === 0) throw new Error('killed')
    stepsLeft -= 1
    return await world.database.transact(work)
  }
  await expect(forgetFailures({ transact }, job.id, signal)).rejects.toThrow('killed')
  expect(await failureCount()).toBe(101)
  expect((await newest())?.counts.failed).toBe(101)
  expect(await findingsInRows(world)).toEqual([])

  await world.restart()
  await expect.poll(async () => (await newest())?.counts.failed).toBe(1)
  expect(await failureCount()).toBe(1)
  await jobs.stop(job.id)
  await forgetFailures(world.database, job.id, signal)
  expect((await newest())?.counts.failed).toBe(1)
  expect(await failureCount()).toBeGreaterThan(0)
})
