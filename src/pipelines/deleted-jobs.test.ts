import { expect, test } from 'vitest'
import { CheckRun } from '../base/check-run.ts'
import {
  atom,
  failDatum,
  openTestProcessing,
  type TestProcessing,
} from '../testing/test-processing.ts'
import { markJobsDeleted, purgeDeletedJobs } from './deleted-jobs.ts'
import { JobNotFoundError } from './job-records.ts'
import { getPipeline, removePipeline } from './pipeline-records.ts'
import { checkPipelinesRows } from './pipelines-check.ts'

const { signal } = new AbortController()
const tables = ['job_rows', 'job_inputs', 'job_provenance', 'datum_failures', 'datum_results']

/** `good` copies and `bad` fails on one of two files of `in`; each has run. */
async function openWorld(): Promise<TestProcessing> {
  const world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  for (const name of ['good', 'bad']) {
    world.code(name, (files) => {
      if (name === 'bad' && [...files.keys()].includes('in/b')) failDatum('no')
      return Object.fromEntries([...files].map(([path, text]) => [path.slice(2), text]))
    })
    await world.pipeline(name, atom('in', '/*'))
  }
  await flushAll(world, await world.commit('in', { a: '1', b: '2' }))
  return world
}

/** One of the pipelines fails. */
async function flushAll(world: TestProcessing, commit: string): Promise<void> {
  await world.flush('in', commit).catch(() => undefined)
  const open = async () =>
    (await world.processing.jobs.list()).filter(({ finishedAt }) => finishedAt === undefined)
  await expect.poll(open).toEqual([])
}

/** Deletes a pipeline with its jobs as `Pipelines.delete` does, up to where a crash would stop it. */
async function deleteAndCrash({ database }: TestProcessing, name: string): Promise<void> {
  await database.transact(async (tx) => {
    const pipeline = await getPipeline(tx, name)
    await markJobsDeleted(tx, pipeline)
    await removePipeline(tx, pipeline, 1)
  })
}

async function counts({ database }: TestProcessing): Promise<readonly number[]> {
  return await database.read(async (tx) => {
    const found: number[] = []
    for (const table of [...tables, 'deleted_jobs']) {
      const row = await tx.get<{ readonly count: number }>(`SELECT COUNT(*) AS count FROM ${table}`)
      found.push(row?.count ?? -1)
    }
    return found
  })
}

async function findings({ database }: TestProcessing): Promise<readonly string[]> {
  const found: string[] = []
  const options = { full: true, fix: false, exclusive: true }
  const run = new CheckRun(options, signal, async ({ what }) => void found.push(what))
  await checkPipelinesRows({ database, run })
  return found
}

/** Many more jobs of the pipeline, each with a failure and two results. */
async function addJobs({ database }: TestProcessing, pipeline: string, count: number) {
  await database.transact(async (tx) => {
    const columns = (
      await tx.all<{ readonly name: string }>(`SELECT name FROM pragma_table_info('job_rows')`)
    ).map(({ name }) => name)
    const changes: Readonly<Record<string, string>> = {
      id: "'copy-' || ?",
      inputs_key: "'copy-' || ?",
      sequence: 'sequence + 100 + ?',
    }
    const values = columns.map((name) => changes[name] ?? name).join(', ')
    for (let number = 1; number <= count; number += 1) {
      const id = `copy-${number}`
      const numbers = [number, number, number]
      await tx.run(
        `INSERT INTO job_rows SELECT ${values} FROM job_rows WHERE pipeline = ? LIMIT 1`,
        ...numbers,
        pipeline,
      )
      await tx.run(`INSERT INTO job_provenance (commit_id, job) VALUES ('c', ?)`, id)
      await tx.run(
        `INSERT INTO datum_failures (job, datum, members, reason, download_ms, process_ms, upload_ms,
            download_bytes, upload_bytes, finished_at, logs)
          VALUES (?, 'd', '[]', '', 0, 0, 0, 0, 0, 0, ?)`,
        id,
        new Uint8Array(1),
      )
      for (const datum of [`${id}-1`, `${id}-2`]) {
        await tx.run(
          `INSERT INTO datum_results (datum, pipeline_id, job, members, output_root, output_bytes,
              output_files, download_ms, process_ms, upload_ms, download_bytes, upload_bytes,
              finished_at, logs, salt)
            SELECT ?, lineage_id, id, '[]', '', 0, 0, 0, 0, 0, 0, 0, 0, ?, salt FROM job_rows
              WHERE id = ?`,
          datum,
          new Uint8Array(1),
          id,
        )
      }
    }
  })
}

test('what reads the jobs sees each column of their table, and each is selected by its name', async () => {
  await using world = await openTestProcessing()
  await world.database.read(async (tx) => {
    const columnsOf = async (name: string): Promise<readonly unknown[]> =>
      await tx.all('SELECT name FROM pragma_table_info(?) ORDER BY name', name)
    expect(await columnsOf('jobs')).toEqual(await columnsOf('job_rows'))
    const view = await tx.get("SELECT sql FROM sqlite_schema WHERE name = 'jobs'")
    expect(view?.['sql']).not.toContain('*')
  })
})

test('jobs of a deleted pipeline are gone at once for everybody, and their rows go in small steps', async () => {
  await using world = await openWorld()
  const { database } = world
  const { jobs, pipelines, logs } = world.processing
  const [kept] = await jobs.list('good')
  const before = await counts(world)
  const [bad] = await jobs.list('bad')
  const failed = (await database.read((tx) => tx.get('SELECT datum FROM datum_failures')))?.[
    'datum'
  ]
  await addJobs(world, 'bad', 1000)

  await deleteAndCrash(world, 'bad')
  expect((await counts(world))[0]).toBe(1002)
  expect((await jobs.list()).map(({ id }) => id)).toEqual([kept?.id])
  expect(await jobs.list('bad')).toEqual([])
  for (const id of [bad?.id ?? '', 'copy-17']) {
    await expect(jobs.inspect(id)).rejects.toThrow(JobNotFoundError)
    await expect(jobs.delete(id)).rejects.toThrow(JobNotFoundError)
  }
  const read = logs.lines({ datum: String(failed), data: [] }, { signal })
  await expect(Array.fromAsync(read)).rejects.toThrow(/not found/)
  expect(await findings(world)).toEqual([])
  // The name is free, and new jobs have numbers of their own.
  await world.pipeline('bad', atom('in', '/*'))
  await flushAll(world, await world.commit('in', { c: '3' }))
  expect((await jobs.list('bad')).length).toBeGreaterThan(0)
  expect(await findings(world)).toEqual([])
  await pipelines.delete('bad', { deleteJobs: false, deleteRepo: false })
  expect((await jobs.list('bad')).length).toBeGreaterThan(0)
  expect((await counts(world)).at(-1)).toBe(0)
  expect((await jobs.list('good')).length).toBe(2)
  expect((await counts(world))[0]).toBe((await jobs.list()).length)
  expect(before[0]).toBe(2)
})

test('a purge that stops goes on, and between its steps nothing contradicts itself', async () => {
  await using world = await openWorld()
  const { database } = world
  await addJobs(world, 'bad', 1500)
  await deleteAndCrash(world, 'bad')
  const seen = [await counts(world)]
  for (;;) {
    const stop = new AbortController()
    const purging = purgeDeletedJobs(database, stop.signal)
    const last = seen.at(-1)
    await expect.poll(async () => await counts(world), { interval: 1 }).not.toEqual(last)
    stop.abort()
    await purging
    const now = await counts(world)
    seen.push(now)
    expect(await findings(world)).toEqual([])
    if (now.at(-1) === 0) break
  }
  expect(seen.length).toBeGreaterThan(2)
  expect(seen.at(-1)).toEqual([1, 1, 1, 0, 2, 0])
  await Promise.all([purgeDeletedJobs(database), purgeDeletedJobs(database)])
  expect(await counts(world)).toEqual([1, 1, 1, 0, 2, 0])
})

test('with all pipelines go the jobs of those that were deleted before, and all results', async () => {
  await using world = await openWorld()
  const { pipelines, jobs } = world.processing
  await pipelines.delete('bad', { deleteJobs: false, deleteRepo: true })
  expect(await jobs.list('bad')).toHaveLength(1)
  await addJobs(world, 'bad', 300)
  await pipelines.deleteAll({ deleteJobs: true, deleteRepo: true })
  expect(await jobs.list()).toEqual([])
  expect(await counts(world)).toEqual([0, 0, 0, 0, 0, 0])
})

test('whoever waits for a job hears that it went with its pipeline', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  const begun = Promise.withResolvers<void>()
  world.code('slow', async (_files, { signal: stop }) => {
    begun.resolve()
    await new Promise((resolve) => stop.addEventListener('abort', resolve, { once: true }))
    stop.throwIfAborted()
    return {}
  })
  await world.pipeline('slow', atom('in', '/*'))
  await world.commit('in', { a: '1' })
  await begun.promise
  const { jobs, pipelines } = world.processing
  const [job] = await jobs.list('slow')
  const waiting = jobs.waitForEnd(job?.id ?? '', signal).catch((error: unknown) => error)
  await pipelines.delete('slow', { deleteJobs: true, deleteRepo: true })
  expect(await waiting).toBeInstanceOf(JobNotFoundError)
  await expect.poll(() => counts(world)).toEqual([0, 0, 0, 0, 0, 0])
})
