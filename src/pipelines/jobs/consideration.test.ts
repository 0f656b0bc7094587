import { expect, test } from 'vitest'
import type { CommitId, RepoName } from '../../base/names.ts'
import type { ReadTransaction, SqlValue } from '../../database/database.ts'
import { atom, openTestProcessing, type TestProcessing } from '../../testing/test-processing.ts'
import { insertFinishedCommit } from '../../versioning/commit-records.ts'
import type { CommitName } from '../../versioning/ports.ts'
import { getPipeline } from '../pipeline-records.ts'
import { type Arrival, arrivalsWithin, newArrivals, noteNewest, usedArrivals } from './arrivals.ts'
import { Consideration } from './consideration.ts'

/** Of a table or an index, all of it, or all that came to a pipeline; not of what was found, which is named otherwise. */
const isScan = /^SCAN (?!CONSTANT|some$)|\(pipeline=\? AND sequence[<>]|\(pipeline=\?\)/
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
  /** As far as statements give them back; none may go through a table to find them. */
  readonly rowCount: number
}

/** What looking for the job of the last arrival of one input finds, and how much it asks for. */
async function considerLast(world: TestProcessing, position: number): Promise<Cost> {
  const scans = new Set<string>()
  const cost = await world.database.read(async (tx) => {
    const pipeline = await getPipeline(tx, 'p')
    const arrivals = arrivalsWithin(tx, pipeline.name, position, always, 1)
    const { value: last } = (await arrivals.next()) as { readonly value: Arrival }
    let statementCount = 0
    let rowCount = 0
    const look = async (sql: string, values: readonly SqlValue[]): Promise<void> => {
      statementCount += 1
      const plan = await tx.all<{ readonly detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, ...values)
      for (const { detail } of plan) if (isScan.test(detail)) scans.add(`${detail}: ${sql}`)
    }
    const counting: ReadTransaction = {
      ...tx,
      get: async (sql, ...values) => {
        await look(sql, values)
        rowCount += 1
        return await tx.get(sql, ...values)
      },
      all: async (sql, ...values) => {
        await look(sql, values)
        const rows = await tx.all<never>(sql, ...values)
        rowCount += rows.length
        return rows
      },
    }
    await newArrivals(counting, pipeline.name, 1)
    await usedArrivals(counting, pipeline.name)
    const chosen = await new Consideration(counting, pipeline).choose(last)
    return { aligned: chosen?.map(({ commit }) => commit), statementCount, rowCount }
  })
  expect([...scans]).toEqual([])
  return cost
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

/** A pipeline over these repos, to which nothing has come; it is stopped, so that nobody else looks at it. */
async function pipelineOver(world: TestProcessing, ...repos: readonly string[]): Promise<void> {
  world.code('p', (files) => Object.fromEntries(files))
  await world.pipeline('p', { cross: repos.map((repo) => atom(repo, '/')) })
  await world.processing.pipelines.stop('p')
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

/** A diamond of which one branch lags behind, with something else that has come to the other. */
async function laggingDiamond(
  count: number,
  others: (world: TestProcessing) => Promise<readonly CommitName[]>,
): Promise<TestProcessing> {
  const names = ['b', 'z']
  await using opened = new AsyncDisposableStack()
  const world = opened.use(await worldWith(names, ['root']))
  await pipelineOver(world, ...names)
  await note(world, 0, await others(world))
  const roots = await commitsIn(world, 'root', count)
  await note(world, 0, await commitsIn(world, 'b', count, roots))
  await note(world, 1, (await commitsIn(world, 'z', 1, roots)).slice(0, 1))
  opened.move()
  return world
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
  for (const count of [10, 1000]) {
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

test('a commit that is made from none of the roots, as from before an update, makes others cost no more', async () => {
  const costs: Cost[] = []
  for (const count of [10, 1000]) {
    await using world = await laggingDiamond(count, async (opened) => {
      const seed = await opened.versioning.commits.inspect('seed', 'master')
      const stale = { repo: 'b' as RepoName, id: 'f'.repeat(32) as CommitId }
      const { state } = seed
      if (state.kind !== 'finished') throw new Error('the commit was finished')
      await opened.database.transact((tx) =>
        insertFinishedCommit(tx, {
          ...seed,
          ...state,
          ...stale,
          parent: undefined,
          provenance: [],
          addedBytes: 0,
        }),
      )
      return [stale]
    })
    costs.push(await considerLast(world, 1))
  }
  expect(costs[0]?.aligned).toHaveLength(2)
  expect(costs[1]).toEqual(costs[0])
})

test('what aligns is found though very much is made from one root, and very much waits before it', async () => {
  await using world = await worldWith(['b', 'z'], ['root'])
  await pipelineOver(world, 'b', 'z')
  const [first, second] = await commitsIn(world, 'root', 2)
  if (first === undefined || second === undefined) throw new Error('there are two')
  // More than are looked up by what they are made from, and more than are tried.
  const origins = Array.from({ length: 1101 }, (_, index) => (index < 1100 ? first : second))
  const made = await commitsIn(world, 'b', origins.length, origins)
  const [last] = made.slice(-1)
  if (last === undefined) throw new Error('there are some')
  await note(world, 0, made.slice(0, 3))
  await note(
    world,
    0,
    Array.from({ length: 10_100 }, () => last),
  )
  await note(world, 1, await commitsIn(world, 'z', 1, [first]))
  const { aligned, rowCount } = await considerLast(world, 1)
  expect(aligned?.[0]).toBe(made[2]?.id)
  expect(rowCount).toBeLessThan(100)
})

test('it costs the same beside few and many commits that came together', async () => {
  const costs: Cost[] = []
  for (const count of [10, 1000]) {
    const names = ['b', 'c', 'z']
    await using world = await worldWith(names)
    await pipelineOver(world, ...names)
    const [left, right] = [await commitsIn(world, 'b', count), await commitsIn(world, 'c', count)]
    await world.database.transact(async (tx) => {
      for (const [index, { id }] of left.entries()) {
        const other = right[index]?.id ?? id
        await noteNewest(tx, 'p', [
          { position: 0, commit: id },
          { position: 1, commit: other },
        ])
      }
    })
    await note(world, 2, await commitsIn(world, 'z', 1))
    const cost = await considerLast(world, 2)
    expect(cost.aligned).toHaveLength(3)
    costs.push({ ...cost, aligned: undefined, rowCount: Math.min(cost.rowCount, 300) })
    expect(cost.rowCount).toBeLessThan(300)
  }
  expect(costs[1]?.statementCount).toBe(costs[0]?.statementCount)
})
