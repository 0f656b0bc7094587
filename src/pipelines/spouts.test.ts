import { expect, test, vi } from 'vitest'
import { HeldClock } from '../testing/held-clock.ts'
import {
  failDatum,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'
import type { DatumWork } from './datum-worker.ts'
import type { JobRecord } from './job-records.ts'

const patience = { timeout: 60_000, interval: 5 }

async function makeSpout({ processing }: TestProcessing, name: string): Promise<void> {
  await processing.pipelines.create({ name, spout: true, transform: transform(name) })
}

/** Waits until the spout has as many jobs, of which the latest is in a state; newest first. */
async function untilJobs(
  world: TestProcessing,
  count: number,
  state: JobRecord['state'],
): Promise<readonly JobRecord[]> {
  return await vi.waitFor(async () => {
    const jobs = await world.processing.jobs.list('drip')
    expect([jobs.length, jobs[0]?.state]).toEqual([count, state])
    return jobs
  }, patience)
}

async function stopped({ signal }: DatumWork): Promise<never> {
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  throw new Error('the code was stopped')
}

async function textsOf(world: TestProcessing, job: string): Promise<readonly string[]> {
  const { signal } = new AbortController()
  const lines = await Array.fromAsync(world.processing.logs.lines({ job, data: [] }, { signal }))
  return lines.map(({ line }) => line.text)
}

test('the code of a spout runs again when it ends, after a pause that grows', async () => {
  const clock = new HeldClock()
  await using world = await openTestProcessing(undefined, { clock })
  let runs = 0
  world.code('drip', (_files, { environment, onLine }) => {
    runs += 1
    onLine({ at: clock.now(), stream: 'stdout', text: `run ${runs}` })
    expect(environment).toMatchObject({ PPS_PIPELINE_NAME: 'drip' })
    if (runs === 2) failDatum('it was told to fail')
    return { '/lost': 'what a spout leaves in /pfs/out is not kept' }
  })
  await makeSpout(world, 'drip')
  const [first] = await untilJobs(world, 1, 'failure')
  expect(first).toMatchObject({ inputs: [], reason: expect.stringMatching('exit code 0; a spout') })
  for (const [index, pauseMs] of [1000, 2000, 4000].entries()) {
    await vi.waitFor(() => expect(clock.sleeperCount).toBeGreaterThanOrEqual(2), patience)
    clock.advance(pauseMs - 50)
    expect(await world.processing.jobs.list('drip')).toHaveLength(index + 1)
    clock.advance(100)
    await untilJobs(world, index + 2, 'failure')
  }
  const jobs = (await world.processing.jobs.list('drip')).toReversed()
  expect(jobs[1]?.reason).toMatch('it was told to fail; a spout')
  expect(await textsOf(world, jobs[2]?.id ?? '')).toEqual(['run 3'])
  await expect(world.versioning.commits.inspect('drip', 'master')).rejects.toThrow('not found')
})

test('a spout is stopped, started, updated and deleted as other pipelines are', async () => {
  await using world = await openTestProcessing()
  const began: string[] = []
  let endedCount = 0
  for (const name of ['drip', 'other']) {
    world.code(name, async (_files, work) => {
      began.push(name)
      work.onLine({ at: 0, stream: 'stdout', text: 'here' })
      return await stopped(work).finally(() => (endedCount += 1))
    })
  }
  await makeSpout(world, 'drip')
  const [job] = await untilJobs(world, 1, 'running')
  await vi.waitFor(() => expect(began).toEqual(['drip']), patience)
  const { pipelines, jobs } = world.processing
  await expect(pipelines.run('drip', [])).rejects.toThrow('pipeline drip is a spout')
  const { reason } = await world.processing.explanations.ofJob(job?.id ?? '')
  expect(reason).toBe('it is a run of a spout, of which the code runs for ever')
  await pipelines.stop('drip')
  await vi.waitFor(() => expect(endedCount).toBe(1), patience)
  await pipelines.start('drip')
  await vi.waitFor(() => expect(began).toEqual(['drip', 'drip']), patience)
  await world.restart()
  await vi.waitFor(() => expect(began).toHaveLength(3), patience)
  expect((await untilJobs(world, 1, 'running'))[0]?.restartCount).toBeGreaterThanOrEqual(1)
  await world.processing.pipelines.update(
    { name: 'drip', spout: true, transform: transform('other') },
    { reprocess: false },
  )
  await vi.waitFor(() => expect(began.at(-1)).toBe('other'), patience)
  await jobs.stop(job?.id ?? '')
  await vi.waitFor(
    async () => expect(await textsOf(world, job?.id ?? '')).toEqual(['here']),
    patience,
  )
  await untilJobs(world, 2, 'running')
  await world.processing.pipelines.delete('drip', { deleteJobs: true, deleteRepo: true })
  expect(await world.processing.jobs.list('drip')).toEqual([])
})

test('people may commit to the repo of a spout, and pipelines read what comes', async () => {
  await using world = await openTestProcessing()
  world.code('drip', async (_files, work) => await stopped(work))
  world.code('up', (files) => Object.fromEntries(files))
  await makeSpout(world, 'drip')
  await world.processing.pipelines.create({
    name: 'up',
    transform: transform('up'),
    input: {
      atom: { name: '', repo: 'drip', branch: '', glob: '/*', lazy: false, fromCommit: '' },
    },
  })
  await world.flush('drip', await world.commit('drip', { a: 'one' }))
  expect(await world.files('up', 'master')).toEqual({ '/drip/a': 'one' })
})
