import { expect, test } from 'vitest'
import { failing, untilKilled } from '../testing/failing-code.ts'
import { findingsInRows } from '../testing/jobs-in-rows.ts'
import {
  atom,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'
import type { LogFilter } from './job-logs.ts'

/** A loaded machine takes its time. */
const patient = { timeout: 60_000 }
const one = { parallelism: { constant: 1, coefficient: 0 } }
const { signal } = new AbortController()

type Wanted = Partial<LogFilter> & { readonly tail?: number }

async function texts(world: TestProcessing, { tail, ...filter }: Wanted): Promise<string[]> {
  const lines = world.processing.logs.lines({ data: [], ...filter }, { tail, signal })
  return (await Array.fromAsync(lines)).map(({ line }) => line.text)
}

/** A world with a pipeline that says what it reads, at the time that the file says. */
async function openWorld(): Promise<TestProcessing> {
  const world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('p', (files, { onLine }) => {
    for (const [path, text] of files) {
      if (text === 'bad') failing('exit code 3')
      onLine({ at: Number(text), stream: 'stdout', text: `${path} at ${text}` })
    }
    return {}
  })
  await world.pipeline('p', atom('in', '/*'), one)
  return world
}

test('logs are told by pipeline, job, version, datum, file, time and text', async () => {
  await using world = await openWorld()
  const { jobs, pipelines } = world.processing
  await world.flush('in', await world.commit('in', { a: '10', b: '20' }))
  await pipelines.update(
    { name: 'p', transform: transform('p'), input: atom('in', '/*'), ...one },
    { reprocess: false },
  )
  await world.flush('in', await world.commit('in', { c: '30' }))
  const [second, first] = await jobs.list('p')
  // Two datums are prepared at once, so either may end first.
  const all = await texts(world, { pipeline: 'p' })
  expect(all.toSorted()).toEqual(['in/a at 10', 'in/b at 20', 'in/c at 30'])
  expect(all.at(-1)).toBe('in/c at 30')
  expect(await texts(world, { job: first?.id })).toEqual(all.slice(0, 2))
  expect(await texts(world, { job: second?.id })).toEqual(all.slice(2))
  expect(await texts(world, { job: second?.id, withSkipped: true })).toEqual([
    'in/c at 30',
    'in/a at 10',
    'in/b at 20',
  ])
  expect(await texts(world, { pipeline: 'p', version: 1 })).toEqual(all.slice(0, 2))
  expect(await texts(world, { pipeline: 'p', version: 2 })).toEqual(all.slice(2))
  expect(await texts(world, { pipeline: 'p', data: ['b'] })).toEqual(['in/b at 20'])
  expect(await texts(world, { pipeline: 'p', since: 20 })).toEqual(['in/b at 20', 'in/c at 30'])
  expect(await texts(world, { pipeline: 'p', text: 'b at' })).toEqual(['in/b at 20'])
  expect(await texts(world, { pipeline: 'p', worker: 'p-9' })).toEqual([])
  for (const [tail, count] of [
    [1, 1],
    [2, 2],
    [9, 3],
  ] as const) {
    expect(await texts(world, { pipeline: 'p', tail })).toEqual(all.slice(-count))
  }
  const [datum] = await Array.fromAsync(jobs.datums(second?.id ?? ''))
  expect(datum?.state).toBe('skipped')
  expect(await texts(world, { datum: datum?.key })).toEqual(['in/a at 10'])
  expect(await texts(world, { job: second?.id, datum: datum?.key })).toEqual(['in/a at 10'])
  await expect(texts(world, {})).rejects.toThrow('must set either pipeline or job filter')
  await expect(texts(world, { pipeline: 'none' })).rejects.toThrow('pipeline none not found')
  await expect(texts(world, { datum: 'none' })).rejects.toThrow('no job has run it')
})

test('each try of a datum that failed is told, in the failed job and in those after it', async () => {
  await using world = await openWorld()
  await expect(world.flush('in', await world.commit('in', { a: 'bad' }))).rejects.toThrow(
    'exit code 3',
  )
  await expect(world.flush('in', await world.commit('in', { b: '1' }))).rejects.toThrow(
    'exit code 3',
  )
  const [second, first] = await world.processing.jobs.list('p')
  const tries = [1, 2, 3].map((at) => `(try ${at} failed: exit code 3)`)
  expect(await texts(world, { job: first?.id })).toEqual(tries)
  expect((await texts(world, { job: second?.id })).toSorted()).toEqual([...tries, 'in/b at 1'])
  const [datum] = await Array.fromAsync(world.processing.jobs.datums(first?.id ?? ''))
  expect(await texts(world, { datum: datum?.key })).toEqual([...tries, ...tries])
  const lines = await Array.fromAsync(
    world.processing.logs.lines({ datum: datum?.key, data: [] }, { signal }),
  )
  expect(new Set(lines.map(({ job }) => job))).toEqual(new Set([first?.id, second?.id]))
  expect(lines[0]).toMatchObject({ pipeline: 'p', worker: /^p-\d$/, line: { stream: 'note' } })
})

test('logs of what was run before a reprocessing stay, also when its results are collected', async () => {
  await using world = await openWorld()
  await world.flush('in', await world.commit('in', { a: '10' }))
  const [first] = await world.processing.jobs.list('p')
  const spec = { name: 'p', transform: transform('p'), input: atom('in', '/*'), ...one }
  await world.processing.pipelines.update(spec, { reprocess: true })
  const [second] = await world.processing.jobs.list('p')
  await world.processing.jobs.waitForEnd(second?.id ?? '', signal)
  expect(await texts(world, { job: first?.id })).toEqual(['in/a at 10'])
})

test('a follower hears what was said before it came and what is said after, each line once', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const steps = Array.from({ length: 4 }, () => Promise.withResolvers<void>())
  const said = Array.from({ length: 4 }, () => Promise.withResolvers<void>())
  world.code('slow', async (files, { onLine }) => {
    for (const [at, step] of steps.entries()) {
      if (files.has('in/b')) await step.promise
      onLine({ at, stream: 'stdout', text: `${[...files.keys()].join()} ${at}` })
      said[at]?.resolve()
    }
    return {}
  })
  await world.pipeline('slow', atom('in', '/*'), one)
  await world.commit('in', { a: '1', b: '2' })
  const [job] = await world.processing.jobs.list('slow')
  steps[0]?.resolve()
  steps[1]?.resolve()
  await said[1]?.promise
  const heard: string[] = []
  const lines = world.processing.logs.lines({ job: job?.id, data: [] }, { follows: true, signal })
  const following = (async () => {
    for await (const { line } of lines) heard.push(line.text)
  })()
  await expect.poll(() => heard, patient).toContain('in/b 1')
  steps[2]?.resolve()
  await expect.poll(() => heard, patient).toContain('in/b 2')
  steps[3]?.resolve()
  await following
  const expected = [0, 1, 2, 3].flatMap((at) => [`in/a ${at}`, `in/b ${at}`])
  expect(heard.toSorted()).toEqual(expected.toSorted())
  expect(heard.filter((text) => text.includes('b'))).toEqual(
    expected.filter((text) => text.includes('b')),
  )
})

test('who follows a pipeline hears of the next jobs, until it goes', async () => {
  await using world = await openWorld()
  const leaving = new AbortController()
  const heard: string[] = []
  const options = { follows: true, signal: leaving.signal }
  const following = (async () => {
    for await (const { line } of world.processing.logs.lines(
      { pipeline: 'p', data: [] },
      options,
    )) {
      heard.push(line.text)
    }
  })()
  await world.flush('in', await world.commit('in', { a: '10' }))
  await world.flush('in', await world.commit('in', { b: '20' }))
  await expect.poll(() => heard, patient).toEqual(['in/a at 10', 'in/b at 20'])
  leaving.abort()
  await following
})

test('what a datum printed that ran when its job was ended is kept, and everything says that it ran', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('p', async (files, work) => {
    work.onLine({ at: 1, stream: 'stdout', text: `begins with ${[...files.keys()].join()}` })
    return await untilKilled(work)
  })
  await world.pipeline('p', atom('in', '/*'), one)
  await world.commit('in', { a: '1', b: '2', c: '3' })
  const [{ id } = { id: '' }] = await world.processing.jobs.list('p')
  const printed = async (): Promise<readonly string[]> => await texts(world, { job: id })
  await expect.poll(printed, patient).toHaveLength(1)
  // A server that stops ends no job: what it ran prints anew when it goes on.
  await world.restart()
  await expect.poll(printed, patient).toHaveLength(1)
  const lines = await printed()
  const { jobs, explanations } = world.processing
  await jobs.stop(id)
  const states = async (): Promise<readonly unknown[]> =>
    (await Array.fromAsync(jobs.datums(id))).map(({ state }) => state).toSorted()
  await expect.poll(states, patient).toEqual(['starting', 'starting', 'stopped'])
  expect(await printed()).toEqual(lines)
  const datum = (await Array.fromAsync(jobs.datums(id))).find(({ state }) => state === 'stopped')
  expect(await texts(world, { datum: datum?.key })).toEqual(lines)
  const reason = 'it was in try 1 when its job was ended'
  expect(await jobs.inspectDatum(id, datum?.key ?? '')).toMatchObject({ state: 'stopped', reason })
  expect((await explanations.ofDatum(datum?.key ?? '', undefined)).info).toMatchObject({ job: id })
  expect(await jobs.inspect(id)).toMatchObject({
    state: 'killed',
    reason: `stopped by a user; datum ${datum?.key} (in:${datum?.members[0]?.path}) was running`,
    counts: { failed: 0 },
  })
  expect(await findingsInRows(world)).toEqual([])
})
