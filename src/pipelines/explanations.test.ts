import { expect, test } from 'vitest'
import { failing } from '../testing/failing-code.ts'
import {
  atom,
  atomNamed,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'
import type { DatumInfo } from './datum-states.ts'
import type { DatumExplanation } from './explanations.ts'
import type { JobRecord } from './job-records.ts'

const one = { parallelism: { constant: 1, coefficient: 0 } }

async function newestJob(world: TestProcessing): Promise<JobRecord> {
  const [job] = await world.processing.jobs.list('p')
  if (job === undefined) throw new Error('no job was made')
  return await world.processing.jobs.waitForEnd(job.id, new AbortController().signal)
}

async function datumAt(world: TestProcessing, job: JobRecord, path: string): Promise<DatumInfo> {
  const datums = await Array.fromAsync(world.processing.jobs.datums(job.id))
  const found = datums.find(({ members }) => String(members[0]?.path) === path)
  if (found === undefined) throw new Error(`no datum reads ${path}`)
  return found
}

/** Why the datum at `path` is as it is in the newest job. */
async function why(world: TestProcessing, path: string): Promise<DatumExplanation> {
  const job = await newestJob(world)
  const { key } = await datumAt(world, job, path)
  return await world.processing.explanations.ofDatum(key, job.id)
}

/** A world with a pipeline `p` over the files of `in`, which fails where one says `bad`. */
async function openWorld(): Promise<TestProcessing> {
  const world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('p', (files) => ([...files.values()].includes('bad') ? failing('exit code 3') : {}))
  await world.pipeline('p', atom('in', '/*'), one)
  return world
}

test('a datum ran because it is new, or changed, and was skipped because its result was known', async () => {
  await using world = await openWorld()
  await world.flush('in', await world.commit('in', { a: '1', b: '2' }))
  const first = await newestJob(world)
  expect(await why(world, '/a')).toMatchObject({
    cause: { kind: 'new' },
    reason: `job ${first.id} is the first of its pipeline`,
  })
  await world.flush('in', await world.commit('in', { b: '22', c: '3' }))
  expect(await why(world, '/a')).toMatchObject({
    info: { state: 'skipped' },
    cause: { kind: 'known', job: first.id },
    reason: `its result was known: job ${first.id} had processed it`,
  })
  const changed = await why(world, '/b')
  expect(changed).toMatchObject({
    info: { state: 'success' },
    cause: { kind: 'differs', job: first.id, differences: [{ field: 'input[0].hash' }] },
    reason: `in:/b has changed since job ${first.id}`,
  })
  expect(await why(world, '/c')).toMatchObject({
    cause: { kind: 'new' },
    reason: `there was nothing at in:/c in job ${first.id}`,
  })
})

test('what changes all datums is told: reprocessing, a new name, a pipeline that was made anew', async () => {
  await using world = await openWorld()
  await world.flush('in', await world.commit('in', { a: '1' }))
  const { pipelines } = world.processing
  const spec = { name: 'p', transform: transform('p'), input: atom('in', '/*') }
  const first = await newestJob(world)
  await pipelines.update(spec, { reprocess: true })
  const second = await newestJob(world)
  expect(await why(world, '/a')).toMatchObject({
    cause: { differences: [{ field: 'salt', before: first.salt, now: second.salt }] },
    reason: `the pipeline was told to reprocess since job ${first.id}`,
  })
  const input = atomNamed('in', '/*', { name: 'x' })
  await pipelines.update({ ...spec, input }, { reprocess: false })
  expect(await why(world, '/a')).toMatchObject({
    reason: `input[0].name is "x", and was "in" in job ${second.id}`,
  })
  await world.flush('in', await world.commit('in', { b: '2' }))
  const third = await newestJob(world)
  await pipelines.delete('p', { deleteJobs: false, deleteRepo: false })
  await world.pipeline('p', atom('in', '/*'), one)
  await newestJob(world)
  // Its first job, over the first commit.
  const [, fourth] = await world.processing.jobs.list('p')
  if (fourth === undefined) throw new Error('no job was made')
  const { key } = await datumAt(world, fourth, '/a')
  const { cause, reason } = await world.processing.explanations.ofDatum(key, fourth.id)
  expect(reason).toBe(`the pipeline was deleted since job ${third.id}, and made anew`)
  expect(cause).toMatchObject({
    differences: [{ field: 'pipeline id' }, { field: 'salt' }, { field: 'input[0].name' }],
  })
})

test('a datum that failed before runs again, and it is said how it failed', async () => {
  await using world = await openWorld()
  await expect(world.flush('in', await world.commit('in', { a: '1', b: 'bad' }))).rejects.toThrow(
    'exit code 3',
  )
  const failed = await newestJob(world)
  expect(await why(world, '/b')).toMatchObject({ info: { state: 'failed', reason: 'exit code 3' } })
  await expect(world.flush('in', await world.commit('in', { c: '3' }))).rejects.toThrow(
    'exit code 3',
  )
  expect(await why(world, '/b')).toMatchObject({
    cause: { kind: 'again', job: failed.id },
    reason: `it failed in job ${failed.id}: exit code 3`,
  })
  const { groups, unchangedCount, reason } = await world.processing.explanations.ofJob(
    (await newestJob(world)).id,
  )
  expect(reason).toMatch(/^commit in@\w+ came to branch master$/)
  expect(unchangedCount).toBe(0)
  expect(groups.map(({ state, cause, count }) => `${state} ${cause} ${count}`).toSorted()).toEqual([
    'failed again 1',
    'skipped known 1',
    'success new 1',
  ])
})

test('a datum that a job ended without is not skipped in it once a later job has run it', async () => {
  await using world = await openTestProcessing()
  const { jobs, explanations } = world.processing
  await world.versioning.repos.create({ name: 'in' })
  const begun = Promise.withResolvers<void>()
  let isHeld = true
  world.code('p', async (files, { signal }) => {
    if (!isHeld || !files.has('in/b')) return {}
    begun.resolve()
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    signal.throwIfAborted()
    return {}
  })
  await world.pipeline('p', atom('in', '/*'), one)
  await world.flush('in', await world.commit('in', { a: '1' }))
  const first = await newestJob(world)
  await world.commit('in', { b: '2', c: '3' })
  await begun.promise
  const [running] = await jobs.list('p')
  await jobs.stop(running?.id ?? '')
  const stopped = await newestJob(world)
  const states = async (): Promise<readonly string[]> => {
    const infos = await Array.fromAsync(jobs.datums(stopped.id))
    return infos.map(({ members, state, madeBy }) =>
      [members[0]?.path, state, madeBy ?? ''].join(' '),
    )
  }
  const before = [`/a skipped ${first.id}`, '/b stopped ', '/c starting ']
  // What has run is written behind the job's end.
  await expect.poll(states).toEqual(before)
  isHeld = false
  await world.flush('in', await world.commit('in', { d: '4' }))
  expect(await why(world, '/c')).toMatchObject({
    info: { state: 'success' },
    reason: `job ${stopped.id} ended (killed) before it had a result of the same datum`,
  })
  expect(await states()).toEqual(before)
  const { groups } = await explanations.ofJob(stopped.id)
  expect(groups.map(({ state }) => state).toSorted()).toEqual(['starting', 'stopped'])
})

test('a job is explained by what differs from the one before', async () => {
  await using world = await openWorld()
  const names = ['a', 'b', 'c', 'd', 'e']
  await world.flush(
    'in',
    await world.commit('in', Object.fromEntries(names.map((name) => [name, '1']))),
  )
  await world.flush('in', await world.commit('in', { a: '2', b: '2', f: '1', e: null }))
  const explained = await world.processing.explanations.ofJob((await newestJob(world)).id)
  expect(explained).toMatchObject({
    unchangedCount: 2,
    lookedAtCount: undefined,
    groups: [
      { state: 'success', cause: 'input[0].hash', count: 2 },
      { state: 'success', cause: 'new', count: 1 },
    ],
  })
  const id = await world.processing.pipelines.run('p', [])
  const again = await world.processing.explanations.ofJob(id)
  expect(again.reason).toBe('somebody asked for it with run-pipeline')
})

test('a job that cuts out other datums is compared with the one before it', async () => {
  await using world = await openWorld()
  await world.flush('in', await world.commit('in', { a: '1' }))
  const first = await newestJob(world)
  const spec = { name: 'p', transform: transform('p'), input: atom('in', '/') }
  await world.processing.pipelines.update(spec, { reprocess: false })
  const job = await newestJob(world)
  expect(await world.processing.explanations.ofJob(job.id)).toMatchObject({
    comparedWith: first.id,
    unchangedCount: 0,
    groups: [{ example: { reason: `there was nothing at in:/ in job ${first.id}` } }],
  })
})

test('a datum is found by its key alone, where it ran last; one that never ran is not', async () => {
  await using world = await openWorld()
  await expect(world.flush('in', await world.commit('in', { a: 'bad' }))).rejects.toThrow(
    'exit code 3',
  )
  await expect(world.flush('in', await world.commit('in', { b: '2' }))).rejects.toThrow(
    'exit code 3',
  )
  const last = await newestJob(world)
  const { key } = await datumAt(world, last, '/a')
  const { explanations } = world.processing
  expect(await explanations.ofDatum(key, undefined)).toMatchObject({ info: { job: last.id } })
  await expect(explanations.ofDatum('0'.repeat(64), undefined)).rejects.toThrow('no job has run it')
  await expect(explanations.ofDatum('0'.repeat(64), last.id)).rejects.toThrow(
    `not found in job ${last.id}`,
  )
})

test('why a group ran is told by its files', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('p', () => ({}))
  const group = { atom: { ...atom('in', '/(?)*').atom, groupBy: '$1' } }
  await world.pipeline('p', { group: [group] })
  const causes = async (files: Readonly<Record<string, string>>): Promise<readonly string[]> => {
    await world.flush('in', await world.commit('in', files))
    const { groups } = await world.processing.explanations.ofJob((await newestJob(world)).id)
    return groups.map(({ example }) => example.reason)
  }
  await causes({ a1: '1', a2: '2' })
  const first = await newestJob(world)
  expect(await causes({ b1: '1', b2: '2' })).toEqual([
    `there was nothing at in:/b1, in:/b2 in job ${first.id}`,
  ])
  const second = await newestJob(world)
  expect(await causes({ a3: '3' })).toEqual([
    `what in has in the group has changed since job ${second.id}`,
  ])
})
