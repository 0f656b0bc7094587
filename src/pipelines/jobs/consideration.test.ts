import { expect, test } from 'vitest'
import { type Instant, SystemClock } from '../../base/clock.ts'
import type { CommitId, RepoName } from '../../base/names.ts'
import { SystemRandom } from '../../base/random.ts'
import type { SqlValue, Transaction } from '../../database/database.ts'
import { atom, openTestProcessing, type TestProcessing } from '../../testing/test-processing.ts'
import { insertFinishedCommit } from '../../versioning/commit-records.ts'
import type { CommitName } from '../../versioning/ports.ts'
import { getPipeline, setPipelineState } from '../pipeline-records.ts'
import {
  type Arrival,
  arrivalsWithin,
  newArrivals,
  noteNewest,
  setArrivalState,
  usedArrivals,
} from './arrivals.ts'
import { Triggers } from '../triggers.ts'
import { Consideration } from './consideration.ts'
import { Prospects } from './prospects.ts'

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
  const each = Array.from({ length: count }, (_, index) => origins.slice(index, index + 1))
  return await commitsOf(world, name, each)
}

/** Finished commits of a repo, each made from some. */
async function commitsOf(
  world: TestProcessing,
  name: string,
  origins: readonly (readonly CommitName[])[],
): Promise<readonly CommitName[]> {
  const seed = await world.versioning.commits.inspect('seed', 'master')
  const { state } = seed
  if (state.kind !== 'finished') throw new Error('the commit was finished')
  const repo = name as RepoName
  const made = origins.map((_, index): CommitName => {
    const id = `${index.toString(16).padStart(8, '0')}${name.repeat(24).slice(0, 24)}` as CommitId
    return { repo, id }
  })
  await world.database.transact(async (tx) => {
    for (const [index, { id }] of made.entries()) {
      await insertFinishedCommit(tx, {
        repo,
        id,
        parent: made[index - 1]?.id,
        provenance: origins[index] ?? [],
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

interface Counted<Result> extends Omit<Cost, 'aligned'> {
  readonly result: Result
  /** Plans of statements that go through a table. */
  readonly scans: readonly string[]
}

/** Does something in one transaction. */
async function counted<Result>(
  world: TestProcessing,
  work: (tx: Transaction) => Promise<Result>,
): Promise<Counted<Result>> {
  return await world.database.transact(async (tx) => {
    const scans = new Set<string>()
    let statementCount = 0
    let rowCount = 0
    const look = async (sql: string, values: readonly SqlValue[]): Promise<void> => {
      statementCount += 1
      const plan = await tx.all<{ readonly detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, ...values)
      for (const { detail } of plan) if (isScan.test(detail)) scans.add(`${detail}: ${sql}`)
    }
    const counting: Transaction = {
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
      emit: async (topic, subject) => {
        await tx.emit(topic, subject)
      },
      run: async (sql, ...values) => {
        await look(sql, values)
        const count = await tx.run(sql, ...values)
        rowCount += count
        return count
      },
    }
    const result = await work(counting)
    return { result, statementCount, rowCount, scans: [...scans] }
  })
}

/** What looking for the job of the last arrival of one input finds, and how much it asks for. */
async function considerLast(world: TestProcessing, position: number): Promise<Cost> {
  const last = await world.database.read(async (tx) => {
    const { name } = await getPipeline(tx, 'p')
    const arrivals = arrivalsWithin(tx, name, position, always, 1)
    return (await arrivals.next()) as { readonly value: Arrival }
  })
  const { result, scans, ...cost } = await counted(world, async (tx) => {
    const pipeline = await getPipeline(tx, 'p')
    await newArrivals(tx, pipeline.name, 1)
    await usedArrivals(tx, pipeline.name)
    return await new Consideration(tx, pipeline).choose(last.value)
  })
  expect(scans).toEqual([])
  const aligned = result.kind === 'found' ? result.options.map(({ commit }) => commit) : undefined
  return { ...cost, aligned }
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
  for (const count of [50, 1000]) {
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
  for (const count of [50, 1000]) {
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

/** Considers all that has come, as it is done when the pipeline runs, but for what comes of it. */
async function considerAll(world: TestProcessing): Promise<void> {
  await world.database.transact(async (tx) => {
    const pipeline = await getPipeline(tx, 'p')
    for (const arrival of await newArrivals(tx, pipeline.name, 100_000)) {
      const consideration = new Consideration(tx, pipeline, Infinity)
      await consideration.choose(arrival)
      await setArrivalState(tx, pipeline.name, arrival, 'waiting')
    }
  })
}

test.each([
  { what: 'an input', links: ['s'] },
  { what: 'one that waits for others', links: ['s', 't', 'u'] },
])('it costs the same beside few and many commits that lack $what', async ({ links }) => {
  const costs: Cost[] = []
  for (const count of [50, 500]) {
    // Each is made from a commit of the link on either side; the last has but the first of its link.
    const names = ['b', ...links.map((_, index) => 'cde'.charAt(index))]
    await using world = await worldWith([...names, 'z'], ['root', ...links])
    await pipelineOver(world, ...names, 'z')
    const [root] = await commitsIn(world, 'root', 1)
    if (root === undefined) throw new Error('there is one')
    const origins = new Map<string, readonly CommitName[]>()
    for (const link of links) origins.set(link, await commitsIn(world, link, count))
    for (const position of [...names.keys()].toReversed()) {
      const left = links[position - 1]
      const right = links[position]
      const made = Array.from({ length: right === undefined ? 1 : count }, (_, index) =>
        [left ?? '', right ?? ''].flatMap((link) => origins.get(link)?.[index] ?? []),
      )
      const all = position === 0 ? made.map((some) => [root, ...some]) : made
      await note(world, position, await commitsOf(world, names[position] ?? '', all))
    }
    await considerAll(world)
    const made = await commitsOf(world, 'z', [[root], [root]])
    await note(world, names.length, made.slice(0, 1))
    await considerAll(world)
    await note(world, names.length, made.slice(1))
    costs.push(await considerLast(world, names.length))
  }
  expect(costs[0]?.aligned).toHaveLength(links.length + 2)
  expect(costs[1]).toEqual(costs[0])
})

/** One side of it waits with so many; as a release before has noted it, which tried them all each time. */
async function longBacklog(world: TestProcessing, count: number): Promise<void> {
  await pipelineOver(world, 'b', 'c', 'z')
  const [[root], origins] = [await commitsIn(world, 'root', 1), await commitsIn(world, 's', count)]
  if (root === undefined) throw new Error('there is one')
  await note(world, 1, await commitsIn(world, 'c', 1, origins))
  const made = origins.map((origin) => [root, origin])
  await note(world, 0, await commitsOf(world, 'b', made))
  await world.database.transact((tx) => tx.run("UPDATE pipeline_arrivals SET state = 'waiting'"))
  await note(world, 2, await commitsIn(world, 'z', 1, [root]))
}

/** Works off what has come, and counts the transactions; each may do so much. */
async function workedOff(world: TestProcessing): Promise<number> {
  const triggers = new Triggers({ clock: new SystemClock(), random: new SystemRandom() })
  let sliceCount = 0
  for (let isMore = true; isMore; sliceCount += 1) {
    const { result, statementCount } = await counted(world, async (tx) => {
      const { name } = await getPipeline(tx, 'p')
      const change = { recentError: '', modifiedAt: 0 as Instant }
      await setPipelineState(tx, name, { state: 'running', ...change })
      const isLeft = await triggers.workOff(tx, name)
      await setPipelineState(tx, name, { state: 'paused', ...change })
      return isLeft
    })
    expect(statementCount).toBeLessThan(3000)
    isMore = result
  }
  expect(await world.processing.jobs.list('p')).toHaveLength(1)
  return sliceCount
}

test('a job is made however many wait beside its commits, in transactions that each do so much', async () => {
  const sliceCounts: number[] = []
  for (const count of [600, 1100]) {
    await using world = await worldWith(['b', 'c', 'z'], ['root', 's'])
    await longBacklog(world, count)
    sliceCounts.push(await workedOff(world))
  }
  // Each of them is tried, and asked for what goes with it; the commit of `z` is asked once for all.
  expect(sliceCounts).toEqual([3, 5])
})

/** Has so many come to the first input of which the commits are gone; all that has come waits. */
async function noteGone(world: TestProcessing, count: number): Promise<void> {
  await world.database.transact(async (tx) => {
    await tx.run(
      `WITH RECURSIVE numbers (one) AS (SELECT 2 UNION ALL SELECT one + 1 FROM numbers WHERE one <= ?)
        INSERT INTO pipeline_arrivals (pipeline, sequence, position, commit_id, state, roots)
          SELECT 'p', one, 0, 'gone' || one, 'waiting', '' FROM numbers`,
      count,
    )
    await tx.run("UPDATE pipeline_arrivals SET state = 'waiting'")
  })
}

test('what is left of a repo that was made again is forgotten in transactions that each do so much', async () => {
  await using world = await worldWith(['b', 'z'])
  await pipelineOver(world, 'b', 'z')
  await note(world, 0, await commitsIn(world, 'b', 1))
  await noteGone(world, 25_000)
  await note(world, 1, await commitsIn(world, 'z', 1))
  expect(await workedOff(world)).toBe(3)
})

test('what may still come is not known where very much is left of a repo that was made again', async () => {
  await using world = await worldWith(['c', 'z'])
  // Nothing comes to `b` any more, so that what it has is looked at.
  world.code('b', (files) => Object.fromEntries(files))
  await world.pipeline('b', atom('seed', '/'))
  await world.processing.pipelines.delete('b', { deleteJobs: true, deleteRepo: false })
  await pipelineOver(world, 'b', 'c', 'z')
  const [over] = await commitsIn(world, 'c', 1)
  if (over === undefined) throw new Error('there is one')
  await note(world, 1, [over])
  await noteGone(world, 10_100)
  const areKnown = await world.database.read(async (tx) => {
    const prospects = new Prospects(tx)
    await prospects.mayMake(await getPipeline(tx, 'p'), { over })
    return prospects.areKnown
  })
  expect(areKnown).toBe(false)
})

test('what very many have waited for is noted of them in transactions that each do so much', async () => {
  await using world = await worldWith(['b', 'z'])
  await pipelineOver(world, 'b', 'z')
  await note(world, 0, await commitsIn(world, 'b', 1100))
  await world.database.transact((tx) =>
    tx.run("UPDATE pipeline_arrivals SET state = 'waiting', lacks = 1"),
  )
  await note(world, 1, await commitsIn(world, 'z', 1))
  expect(await workedOff(world)).toBe(2)
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
