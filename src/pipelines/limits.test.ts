import { expect, test, vi } from 'vitest'
import { ResourceExhaustedError, UnavailableError } from '../base/errors.ts'
import type { Database } from '../database/database.ts'
import { failing, untilKilled } from '../testing/failing-code.ts'
import { HeldClock } from '../testing/held-clock.ts'
import {
  atom,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'
import type { DatumWorkers } from './datum-worker.ts'
import type { JobRecord } from './job-records.ts'
import type { RequestedSpec } from './requested-specs.ts'
import { JobDeadline } from './running/job-deadline.ts'
import { checkSpec } from './specs.ts'

const { signal } = new AbortController()
const one = { parallelism: { constant: 1, coefficient: 0 } }

async function newestJob(world: TestProcessing): Promise<JobRecord> {
  const [job] = await world.processing.jobs.list('p')
  return await world.processing.jobs.waitForEnd(job?.id ?? '', signal)
}

async function statesOf(world: TestProcessing, job: JobRecord): Promise<readonly string[]> {
  const datums = await Array.fromAsync(world.processing.jobs.datums(job.id))
  return datums.map(({ members, state }) => `${members[0]?.path} ${state}`)
}

/** A world with a repo `in`, whose files that say `bad` the code of `p` fails at. */
async function openWorld(more: RequestedSpec = {}): Promise<TestProcessing> {
  const world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('p', (files) => {
    if ([...files.values()].includes('bad')) failing('exit code 3')
    return Object.fromEntries([...files].map(([path, text]) => [path.slice(3), text]))
  })
  await world.pipeline('p', atom('in', '/*'), { ...one, ...more })
  return world
}

/** With an error command, played by the code of that name. */
function withErrorCommand(name: string): RequestedSpec {
  const plain = transform('p')
  return plain === undefined ? {} : { transform: { ...plain, errorCommand: [name] } }
}

test('user code is tried as often as the spec says', async () => {
  await using world = await openWorld({ datumTries: 2 })
  await expect(world.flush('in', await world.commit('in', { a: 'bad' }))).rejects.toThrow(
    'exit code 3',
  )
  expect(world.ran).toEqual(['in:/a', 'in:/a'])
})

test('user code that runs too long is ended, and tried again until there were enough tries', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('p', async (_files, work) => await untilKilled(work))
  const limits = { datumTries: 2, datumTimeoutMs: 30 }
  await world.pipeline('p', atom('in', '/*'), { ...one, ...limits })
  await expect(world.flush('in', await world.commit('in', { a: '1' }))).rejects.toThrow(
    /datum \w+ \(in:\/a\) failed: it ran longer than the datum_timeout of 30ms/,
  )
  expect(world.ran).toHaveLength(2)
  const [datum] = await Array.fromAsync(world.processing.jobs.datums((await newestJob(world)).id))
  expect(datum?.stats?.processMs).toBeGreaterThanOrEqual(25)
})

test('the time of a datum goes on while its output is stored', async () => {
  const workers: DatumWorkers = {
    placeOf: () => 'test',
    look: async () => {},
    notices: () => [],
    open: async () => ({
      process: async (work) => {
        const held = await work.place()
        held[Symbol.dispose]()
        return await untilKilled(work)
      },
      [Symbol.asyncDispose]: async () => undefined,
    }),
  }
  await using world = await openTestProcessing(undefined, { workers })
  await world.versioning.repos.create({ name: 'in' })
  const limits = { datumTries: 1, datumTimeoutMs: 30 }
  await world.pipeline('p', atom('in', '/*'), { ...one, ...limits })
  await expect(world.flush('in', await world.commit('in', { a: '1' }))).rejects.toThrow(
    'it ran longer than the datum_timeout of 30ms',
  )
})

test('a datum that waits for its turn is not running: its time has not begun', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  let runs = 0
  world.code('p', async (_files, work) => {
    runs += 1
    // The second waits for its turn while the first uses up its time.
    return runs === 1 ? await untilKilled(work) : {}
  })
  const limits = { datumTries: 1, datumTimeoutMs: 200 }
  await world.pipeline('p', atom('in', '/*'), { ...one, ...limits })
  await expect(world.flush('in', await world.commit('in', { a: '1', b: '2' }))).rejects.toThrow(
    'datum_timeout of 200ms',
  )
  expect((await newestJob(world)).counts).toMatchObject({ processed: 1, failed: 1 })
})

test('a job that runs too long is killed, and the next one runs', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('p', async (files, work) => (files.has('in/slow') ? await untilKilled(work) : {}))
  await world.pipeline('p', atom('in', '/*'), { ...one, jobTimeoutMs: 100 })
  const commit = await world.commit('in', { slow: '1' })
  await expect(world.flush('in', commit)).rejects.toThrow(
    /job \S+ of pipeline p was stopped: it ran longer than the job_timeout of 100ms/,
  )
  await world.flush('in', await world.commit('in', { slow: null, b: '2' }))
  expect((await newestJob(world)).state).toBe('success')
})

/** A world in which a job of `p` runs that may do so for an hour, and does not end by itself. */
async function openEndless(): Promise<TestProcessing & { readonly job: JobRecord }> {
  const world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const begun = Promise.withResolvers<void>()
  world.code('p', async (_files, work) => {
    begun.resolve()
    return await untilKilled(work)
  })
  await world.pipeline('p', atom('in', '/*'), { ...one, jobTimeoutMs: 3_600_000 })
  await world.commit('in', { a: '1' })
  await begun.promise
  const job = (await world.processing.jobs.list('p'))[0]
  if (job === undefined) throw new Error('there is no job')
  return Object.assign(world, { job })
}

async function setJob(world: TestProcessing, assignment: string): Promise<void> {
  await world.database.transact(async (tx) => {
    await tx.run(`UPDATE job_rows SET ${assignment}`)
  })
}

test('the time of a job does not pass while the server or its pipeline is stopped', async () => {
  await using world = await openEndless()
  const { id } = world.job
  await setJob(world, 'started_at = started_at - 7200000000')
  await world.restart()
  const { jobs, pipelines } = world.processing
  await vi.waitFor(async () => {
    const { state, restartCount, ranMs } = await jobs.inspect(id)
    // Of the hour, a step is noted ahead.
    expect([state, restartCount, ranMs >= 10_000]).toEqual(['running', 1, true])
  })
  await pipelines.stop('p')
  // It is given back when the run has ended.
  await vi.waitFor(async () => expect((await jobs.inspect(id)).ranMs).toBeLessThan(10_000))
  await setJob(world, 'ran_ms = 3600000 - 50')
  await pipelines.start('p')
  expect(await jobs.waitForEnd(id, signal)).toMatchObject({
    state: 'killed',
    reason: expect.stringContaining('it ran longer than the job_timeout of 1h'),
    restartCount: 2,
  })
})

test('the time of a run is noted ahead in steps, and what is left of one is given back', async () => {
  await using world = await openEndless()
  const clock = new HeldClock()
  const ranMs = async (): Promise<number> =>
    (await world.processing.jobs.inspect(world.job.id)).ranMs
  const sleeping = async (): Promise<void> => {
    await vi.waitFor(() => expect(clock.sleeperCount).toBe(1))
  }
  const log = { error: (_text: string, cause: unknown) => world.errors.push(cause) }
  const { active, jobs } = world.processing
  const ports = { database: world.database, active, clock, log }
  const [datum] = await Array.fromAsync(jobs.datums(world.job.id))
  const first = new JobDeadline(ports, { ...world.job, ranMs: 1000 }, 60_000)
  await sleeping()
  // A server that dies now leaves this behind.
  expect(await ranMs()).toBe(7000)
  clock.advance(6000)
  await vi.waitFor(async () => expect(await ranMs()).toBe(13_000))
  await sleeping()
  clock.advance(500)
  await first[Symbol.asyncDispose]()
  expect(await ranMs()).toBe(7500)
  expect((await world.processing.jobs.inspect(world.job.id)).state).toBe('running')

  await using _ = new JobDeadline(ports, { ...world.job, ranMs: 59_000 }, 60_000)
  await sleeping()
  clock.advance(1000)
  expect(await world.processing.jobs.waitForEnd(world.job.id, signal)).toMatchObject({
    state: 'killed',
    reason: `it ran longer than the job_timeout of 1m; datum ${datum?.key} (in:/a) was running`,
  })
})

test('a pause that is held does not count, unless a datum runs meanwhile', async () => {
  await using world = await openEndless()
  const clock = new HeldClock()
  const { id } = world.job
  const { active, jobs } = world.processing
  const log = { error: (_text: string, cause: unknown) => world.errors.push(cause) }
  const idle = { of: () => [] }
  const sleeping = async (): Promise<void> => {
    await vi.waitFor(() => expect(clock.sleeperCount).toBe(1))
  }
  const ports = { database: world.database, active: idle, clock, log }
  const first = new JobDeadline(ports, { ...world.job, ranMs: 59_000 }, 60_000)
  await sleeping()
  clock.advance(500)
  const hold = first.hold()
  first.hold()[Symbol.dispose]()
  clock.advance(3_600_000)
  hold[Symbol.dispose]()
  await sleeping()
  clock.advance(400)
  first.hold()
  await first[Symbol.asyncDispose]()
  expect(await jobs.inspect(id)).toMatchObject({ state: 'running', ranMs: 59_900 })

  await using second = new JobDeadline({ ...ports, active }, world.job, 60_000)
  await sleeping()
  using _ = second.hold()
  clock.advance(60_000)
  expect((await jobs.waitForEnd(id, signal)).state).toBe('killed')
})

test('a job that cannot be ended at its limit is tried again, with what is in reserve', async () => {
  await using world = await openEndless()
  const clock = new HeldClock()
  const errors: unknown[] = []
  const log = { error: (_text: string, cause: unknown) => errors.push(cause) }
  const transact: Database['transact'] = async (operation, options) => {
    expect(options).toEqual({ usesReserve: true })
    if (errors.length < 2) throw new ResourceExhaustedError('the disk is full')
    return await world.database.transact(operation, options)
  }
  const { active, jobs } = world.processing
  const ports = { database: { transact }, active, clock, log }
  const deadline = new JobDeadline(ports, { ...world.job, ranMs: 60_000 }, 60_000)
  for (const count of [1, 2]) {
    await vi.waitFor(() => expect([errors.length, clock.sleeperCount]).toEqual([count, 1]))
    expect((await jobs.inspect(world.job.id)).state).toBe('running')
    clock.advance(1000)
  }
  const { state } = await jobs.waitForEnd(world.job.id, signal)
  expect(state).toBe('killed')
  await deadline[Symbol.asyncDispose]()
})

test('an error command that a fault of ours kept from its end is run again', async () => {
  await using world = await openWorld({ ...withErrorCommand('mend'), datumTries: 1 })
  let mendCount = 0
  world.code('mend', () => {
    mendCount += 1
    if (mendCount < 3) throw new UnavailableError('the worker was lost')
    return {}
  })
  await world.flush('in', await world.commit('in', { a: 'bad', b: 'good' }))
  expect((await newestJob(world)).counts).toMatchObject({ processed: 1, recovered: 1 })
  expect(mendCount).toBe(3)
})

test('with an error command that succeeds, a job goes on without a datum, and the next tries it again', async () => {
  await using world = await openWorld({ ...withErrorCommand('mend'), datumTries: 1 })
  world.code('mend', () => ({ 'not/kept': 'x' }))
  await world.flush('in', await world.commit('in', { a: '1', b: 'bad', c: '3' }))
  const first = await newestJob(world)
  expect(first.counts).toEqual({ total: 3, processed: 2, skipped: 0, failed: 0, recovered: 1 })
  expect(await statesOf(world, first)).toEqual(['/a success', '/b recovered', '/c success'])
  expect(await world.files('p', 'master')).toEqual({ '/a': '1', '/c': '3' })

  world.ran.length = 0
  await world.flush('in', await world.commit('in', { d: '4' }))
  expect(world.ran.toSorted()).toEqual(['in:/b', 'in:/b', 'in:/d'])
  const second = await newestJob(world)
  expect(second.counts).toEqual({ total: 4, processed: 1, skipped: 2, failed: 0, recovered: 1 })
  const { key } = (await Array.fromAsync(world.processing.jobs.datums(second.id)))[1] ?? {}
  expect(await world.processing.explanations.ofDatum(key ?? '', second.id)).toMatchObject({
    cause: { kind: 'again' },
    reason: `it failed in job ${first.id}, which went on without it: exit code 3`,
  })

  world.code('p', (files) =>
    Object.fromEntries([...files].map(([path, text]) => [path.slice(3), text])),
  )
  await world.flush('in', await world.commit('in', { a: null }))
  expect((await newestJob(world)).counts).toMatchObject({ processed: 1, skipped: 2, recovered: 0 })
  expect(await world.files('p', 'master')).toEqual({ '/b': 'bad', '/c': '3', '/d': '4' })
  await world.flush('in', await world.commit('in', { b: null }))
  expect(await world.files('p', 'master')).toEqual({ '/c': '3', '/d': '4' })
})

test('an update tries recovered datums again, and one after that has nothing to repair', async () => {
  const spec = { ...withErrorCommand('mend'), datumTries: 1 }
  await using world = await openWorld(spec)
  world.code('mend', () => ({}))
  await world.flush('in', await world.commit('in', { a: '1', b: 'bad' }))
  world.code('p', (files) =>
    Object.fromEntries([...files].map(([path, text]) => [path.slice(3), text])),
  )
  world.ran.length = 0
  const again = { name: 'p', transform: transform('p'), input: atom('in', '/*'), ...spec }
  await world.processing.pipelines.update(again, { reprocess: false })
  const { id } = await newestJob(world)
  expect((await world.processing.jobs.waitForEnd(id, signal)).counts).toMatchObject({
    processed: 1,
    skipped: 1,
    recovered: 0,
  })
  expect(world.ran).toEqual(['in:/b'])
  expect(await world.files('p', 'master')).toEqual({ '/a': '1', '/b': 'bad' })
  await world.processing.pipelines.update(again, { reprocess: false })
  expect((await newestJob(world)).id).toBe(id)
})

test('a recovered datum that goes leaves the output as it was', async () => {
  await using world = await openWorld({ ...withErrorCommand('mend'), datumTries: 1 })
  world.code('mend', () => ({}))
  await world.flush('in', await world.commit('in', { a: '1', b: 'bad' }))
  await world.flush('in', await world.commit('in', { b: null }))
  expect((await newestJob(world)).counts).toMatchObject({ total: 1, processed: 0, skipped: 1 })
  expect(await world.files('p', 'master')).toEqual({ '/a': '1' })
})

test('an error command that fails fails the datum, and both failures are told', async () => {
  await using world = await openWorld({ ...withErrorCommand('mend'), datumTries: 2 })
  world.code('mend', () => failing('exit code 7'))
  await expect(world.flush('in', await world.commit('in', { a: 'bad' }))).rejects.toThrow(
    'failed: exit code 3; its err_cmd failed, too: exit code 7',
  )
  const lines = world.processing.logs.lines({ pipeline: 'p', data: [] }, { signal })
  expect((await Array.fromAsync(lines)).map(({ line }) => line.text)).toEqual([
    '(try 1 failed: exit code 3)',
    '(try 2 failed: exit code 3; running err_cmd)',
  ])
})

test('limits that make no sense are refused by their names', () => {
  const spec = { name: 'p', transform: transform('p'), input: atom('in', '/*') }
  const refusals: readonly (readonly [RequestedSpec, string])[] = [
    [{ datumTries: -1 }, 'datum_tries -1 must be between 1 and 1000'],
    [{ datumTries: 1001 }, 'datum_tries 1001 must be'],
    [{ datumTimeoutMs: -1 }, 'datum_timeout must be between 1ms and a year'],
    [{ jobTimeoutMs: 0.5 }, 'job_timeout must be between 1ms and a year'],
    [{ jobTimeoutMs: 1e12 }, 'job_timeout must be between 1ms and a year'],
    [withErrorCommand(''), 'the program of transform.err_cmd is empty'],
    [withErrorCommand('a\0b'), 'holds a null character'],
    [withErrorCommand('x'.repeat(131_072)), 'pipeline p: transform.err_cmd[0] has 131072 bytes'],
  ]
  for (const [more, text] of refusals) {
    expect(() => checkSpec({ ...spec, ...more }, 0)).toThrow(text)
  }
  expect(
    checkSpec({ ...spec, datumTries: 0, datumTimeoutMs: 0, jobTimeoutMs: 0 }, 0),
  ).not.toHaveProperty('datumTries')
})
