import { expect, test } from 'vitest'
import { SystemClock } from '../../base/clock.ts'
import type { Database, Migrations } from '../../database/database.ts'
import { openSqlite } from '../../database/sqlite.ts'
import { TemporaryDirectory } from '../../testing/temporary-directory.ts'
import { insertNamed, nameOf } from '../../testing/named-commits.ts'
import { atom, openTestProcessing, type TestProcessing } from '../../testing/test-processing.ts'
import { versioningMigrations } from '../../versioning/tables.ts'
import { getPipeline } from '../pipeline-records.ts'
import { pipelinesMigrations } from '../tables.ts'
import { type Arrival, noteNewest } from './arrivals.ts'
import { Consideration } from './consideration.ts'

const inputs = ['a', 'b', 'c'] as const

async function openWorld(): Promise<TestProcessing> {
  const world = await openTestProcessing()
  for (const name of ['seed', 'r', 's']) await world.versioning.repos.create({ name })
  await world.commit('seed', { a: 'one' })
  for (const name of inputs) {
    await world.versioning.repos.create({ name, provenance: ['r', 's'] })
  }
  world.code('p', (files) => Object.fromEntries(files))
  await world.pipeline('p', { cross: inputs.map((repo) => atom(repo, '/')) })
  await world.processing.pipelines.stop('p')
  return world
}

/** Has a commit come to the pipeline: the names of those that are chosen for it. */
async function come(world: TestProcessing, name: string): Promise<string> {
  const { repo, id: commit } = nameOf(name)
  const position = inputs.findIndex((input) => input === repo)
  return await world.database.transact(async (tx) => {
    await noteNewest(tx, 'p', [{ position, commit }])
    const last = await tx.get<{ readonly sequence: number }>(
      'SELECT MAX(sequence) AS sequence FROM pipeline_arrivals',
    )
    const arrival: Arrival = { position, commit, sequence: last?.sequence ?? 0 }
    const consideration = new Consideration(tx, await getPipeline(tx, 'p'), Infinity)
    const choice = await consideration.choose(arrival)
    if (choice.kind !== 'found') return choice.kind
    return choice.options
      .map((one) => Buffer.from(one.commit, 'hex').toString().replaceAll('\0', ''))
      .join(' ')
  })
}

test('what comes while the repo of an input is deleted goes with what comes back to that', async () => {
  await using world = await openWorld()
  for (const name of ['r1', 's0', 's1']) await insertNamed(world, name, [])
  await insertNamed(world, 'c0', ['s0'])
  await insertNamed(world, 'b1', ['r1', 's1'])
  await insertNamed(world, 'a1', ['r1'])
  for (const name of ['c0', 'b1', 'a1']) expect(await come(world, name)).toBe('none')
  await world.versioning.repos.delete('b', { force: true })
  for (const name of ['c1', 'c2']) await insertNamed(world, name, ['s1'])
  expect(await come(world, 'c1')).toBe('none')
  await world.versioning.repos.create({ name: 'b', provenance: ['r', 's'] })
  await insertNamed(world, 'b1', ['r1', 's1'])
  expect(await come(world, 'c2')).toBe('a1 b1 c2')
})

test('what comes while the repo of an input is deleted does not lack what comes back to that', async () => {
  await using world = await openWorld()
  for (const name of ['r1', 's1']) await insertNamed(world, name, [])
  await insertNamed(world, 'b1', ['r1', 's1'])
  expect(await come(world, 'b1')).toBe('none')
  await world.versioning.repos.delete('b', { force: true })
  await insertNamed(world, 'a1', ['r1'])
  expect(await come(world, 'a1')).toBe('none')
  await world.versioning.repos.create({ name: 'b', provenance: ['r', 's'] })
  await insertNamed(world, 'b1', ['r1', 's1'])
  await insertNamed(world, 'c1', ['s1'])
  expect(await come(world, 'c1')).toBe('a1 b1 c1')
})

test('what is left of a repo that was deleted and made again is forgotten, and is no partner', async () => {
  await using world = await openWorld()
  for (const name of ['r1', 's1']) await insertNamed(world, name, [])
  await insertNamed(world, 'b1', ['r1', 's1'])
  expect(await come(world, 'b1')).toBe('none')
  await world.versioning.repos.delete('b', { force: true })
  await world.versioning.repos.create({ name: 'b', provenance: ['r', 's'] })
  await insertNamed(world, 'a1', ['r1'])
  expect(await come(world, 'a1')).toBe('none')
  const rows = await world.database.read((tx) =>
    tx.all('SELECT position, lacks FROM pipeline_arrivals ORDER BY sequence'),
  )
  expect(rows).toEqual([{ position: 0, lacks: 1 }])
})

test('what releases before noted of arrivals by repos is forgotten when the tables are brought up to date', async () => {
  await using directory = await TemporaryDirectory.create()
  const open = async (steps: Migrations['steps']): Promise<Database> =>
    await openSqlite({
      path: directory.path,
      migrations: [versioningMigrations, { ...pipelinesMigrations, steps }],
      clock: new SystemClock(),
    })
  const { steps } = pipelinesMigrations
  const newIndex = steps.findIndex((step) => step.join().includes('by_roots_and_lack'))
  {
    await using database = await open(steps.slice(0, newIndex))
    await database.transact((tx) =>
      tx.run(
        `INSERT INTO pipeline_arrivals (pipeline, sequence, position, commit_id, state, roots, lacks)
          VALUES ('p', 1, 0, 'c', 'waiting', 'm ', 1)`,
      ),
    )
  }
  await using database = await open(steps)
  const rows = await database.read((tx) => tx.all('SELECT roots, lacks FROM pipeline_arrivals'))
  expect(rows).toEqual([{ roots: null, lacks: -1 }])
})
