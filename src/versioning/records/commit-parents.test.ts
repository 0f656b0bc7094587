import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CommitId, RepoName } from '../../base/names.ts'
import type { Database } from '../../database/database.ts'
import { openTestVersioning, type TestVersioning } from '../../testing/test-versioning.ts'
import { insertFinishedCommit } from '../commit-records.ts'
import { addMergeParent, commonAncestor } from './commit-parents.ts'

interface Node {
  /** Positions of earlier commits. */
  readonly parents: readonly number[]
}

function idOf(history: number, index: number): CommitId {
  return (history * 100_000 + index).toString(16).padStart(32, '0') as CommitId
}

/** Commits in the order given, each with the first parent as parent and the others merged in. */
async function insert(
  { database, ports }: TestVersioning,
  history: number,
  nodes: readonly Node[],
): Promise<void> {
  const { root, sizeBytes, fileCount } = await ports.trees.emptyRoot()
  await database.transact(async (tx) => {
    for (const [index, { parents }] of nodes.entries()) {
      const [parent, ...merged] = parents.map((position) => idOf(history, position))
      const id = idOf(history, index)
      await insertFinishedCommit(tx, {
        repo: 'r' as RepoName,
        id,
        parent,
        provenance: [],
        startedAt: 1,
        finishedAt: 1,
        tree: { root, sizeBytes, fileCount },
        addedBytes: 0,
      })
      for (const other of merged) await addMergeParent(tx, id, other)
    }
  })
}

/** Passes reads on, and counts them. */
function counted(database: Database): { readonly database: Database; readCount: number } {
  const counter = {
    readCount: 0,
    database: {
      read: (operation: Parameters<Database['read']>[0]) => {
        counter.readCount += 1
        return database.read(operation)
      },
    } as unknown as Database,
  }
  return counter
}

test('a near fork is found at once, a far one page by page', async () => {
  await using world = await openTestVersioning()
  await world.versioning.repos.create({ name: 'r' })
  const length = 2000
  const line = Array.from({ length }, (_, index) => ({ parents: index === 0 ? [] : [index - 1] }))
  // One commit more on each of two branches: from the end, and from the beginning.
  await insert(world, 0, [...line, { parents: [length - 1] }, { parents: [0] }])
  const near = counted(world.database)
  const [end, late, early] = [idOf(0, length - 1), idOf(0, length), idOf(0, length + 1)]
  expect(await commonAncestor(near.database, end, late)).toBe(end)
  expect(near.readCount).toBe(1)
  const far = counted(world.database)
  expect(await commonAncestor(far.database, end, early)).toBe(idOf(0, 0))
  expect(far.readCount).toBeGreaterThan(3)
  expect(await commonAncestor(world.database, late, idOf(1, 0))).toBeUndefined()
})

test('the latest commit that both have in common is found, whatever was merged', async () => {
  await using world = await openTestVersioning()
  await world.versioning.repos.create({ name: 'r' })
  let history = 1
  const nodes = fc
    .array(fc.array(fc.nat(1000), { maxLength: 3 }), { minLength: 2, maxLength: 14 })
    .map((all) =>
      all.map((picks, index) => ({
        parents: [...new Set(index === 0 ? [] : picks.map((pick) => pick % index))],
      })),
    )
  const property = fc.asyncProperty(nodes, fc.nat(), fc.nat(), async (graph, one, other) => {
    history += 1
    await insert(world, history, graph)
    const [ours, theirs] = [one % graph.length, other % graph.length]
    const shared = intersection(ancestors(graph, ours), ancestors(graph, theirs))
    const latest = shared.length === 0 ? undefined : idOf(history, Math.max(...shared))
    const found = await commonAncestor(world.database, idOf(history, ours), idOf(history, theirs))
    expect(found).toBe(latest)
  })
  await fc.assert(property, { numRuns: 100 })
})

function ancestors(graph: readonly Node[], start: number): ReadonlySet<number> {
  const found = new Set<number>()
  const waiting = [start]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (found.has(next)) continue
    found.add(next)
    waiting.push(...(graph[next]?.parents ?? []))
  }
  return found
}

function intersection(left: ReadonlySet<number>, right: ReadonlySet<number>): readonly number[] {
  return [...left].filter((one) => right.has(one))
}
