import { expect, test } from 'vitest'
import type { CommitId, RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { atom, openTestProcessing, type TestProcessing } from '../../testing/test-processing.ts'
import { insertFinishedCommit } from '../../versioning/commit-records.ts'
import type { CommitName } from '../../versioning/ports.ts'
import { getPipeline } from '../pipeline-records.ts'
import { type Arrival, arrivalsWithin, noteNewest } from './arrivals.ts'
import { Consideration } from './consideration.ts'

const always = { from: -Infinity, below: Infinity } as const

/** So many finished commits of a repo, each made from one of `origins`, if there are any. */
async function commitsIn(
  world: TestProcessing,
  name: string,
  count: number,
  origins: readonly CommitName[] = [],
): Promise<readonly CommitName[]> {
  const seed = await world.versioning.commits.inspect('seed', 'master')
  const { state } = seed
  if (state.kind !== 'finished') throw new Error('the commit was finished')
  const repo = name as RepoName
  const made = Array.from({ length: count }, (_, index): CommitName => {
    const id = `${index.toString(16).padStart(8, '0')}${name.repeat(24).slice(0, 24)}` as CommitId
    return { repo, id }
  })
  await world.database.transact(async (tx) => {
    for (const [index, { id }] of made.entries()) {
      const origin = origins[index]
      await insertFinishedCommit(tx, {
        repo,
        id,
        parent: made[index - 1]?.id,
        provenance: origin === undefined ? [] : [origin],
        startedAt: seed.startedAt,
        finishedAt: state.finishedAt + index,
        tree: state.tree,
        addedBytes: 0,
      })
    }
  })
  return made
}

interface Cost {
  /** Of what came last. */
  readonly aligned: readonly string[] | undefined
  readonly statementCount: number
}

/** What looking for the job of the last arrival of one input finds, and how much it asks for. */
async function considerLast(world: TestProcessing, position: number): Promise<Cost> {
  return await world.database.read(async (tx) => {
    const pipeline = await getPipeline(tx, 'p')
    const arrivals = arrivalsWithin(tx, pipeline.name, position, always, 1)
    const { value: last } = (await arrivals.next()) as { readonly value: Arrival }
    let statementCount = 0
    const counting: ReadTransaction = {
      ...tx,
      get: async (sql, ...values) => {
        statementCount += 1
        return await tx.get(sql, ...values)
      },
      all: async (sql, ...values) => {
        statementCount += 1
        return await tx.all(sql, ...values)
      },
    }
    const chosen = await new Consideration(counting, pipeline).choose(last)
    return { aligned: chosen?.map(({ commit }) => commit), statementCount }
  })
}

async function worldWith(
  names: readonly string[],
  provenance: readonly string[] = [],
): Promise<TestProcessing> {
  const world = await openTestProcessing()
  for (const name of ['seed', ...provenance]) await world.versioning.repos.create({ name })
  await world.commit('seed', { a: 'one' })
  for (const name of names) await world.versioning.repos.create({ name, provenance })
  return world
}

/** A pipeline over these repos, to which nothing has come. */
async function pipelineOver(world: TestProcessing, ...repos: readonly string[]): Promise<void> {
  world.code('p', (files) => Object.fromEntries(files))
  await world.pipeline('p', { cross: repos.map((repo) => atom(repo, '/')) })
}

/** Has commits come to an input, and nobody look at them. */
async function note(
  world: TestProcessing,
  position: number,
  commits: readonly CommitName[],
): Promise<void> {
  await world.database.transact(async (tx) => {
    for (const { id } of commits) await noteNewest(tx, 'p', [{ position, commit: id }])
  })
}

test('it costs the same beside few and many commits of independent inputs, when one has none', async () => {
  const costs: Cost[] = []
  for (const count of [10, 100]) {
    const names = ['a', 'b', 'c', 'd', 'z']
    await using world = await worldWith(names)
    await pipelineOver(world, ...names)
    for (const [position, name] of names.slice(0, -1).entries()) {
      await note(world, position, await commitsIn(world, name, count))
    }
    costs.push(await considerLast(world, 3))
  }
  expect(costs[0]?.aligned).toBe(undefined)
  expect(costs[1]).toEqual(costs[0])
})

test('it costs the same however far a branch of a diamond lags behind', async () => {
  const costs: Cost[] = []
  for (const count of [10, 100]) {
    const names = ['b', 'c', 'z']
    await using world = await worldWith(names, ['root'])
    await pipelineOver(world, ...names)
    const roots = await commitsIn(world, 'root', count)
    for (const position of [0, 1]) {
      await note(world, position, await commitsIn(world, names[position] ?? '', count, roots))
    }
    const [late] = await commitsIn(world, 'z', 1, roots)
    if (late !== undefined) await note(world, 2, [late])
    costs.push(await considerLast(world, 2))
    expect(costs.at(-1)?.aligned?.at(-1)).toBe(late?.id)
  }
  expect(costs[0]?.aligned).toHaveLength(3)
  expect(costs[1]).toEqual(costs[0])
})
