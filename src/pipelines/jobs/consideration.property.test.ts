import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CommitId, RepoName } from '../../base/names.ts'
import type { Transaction } from '../../database/database.ts'
import { atom, openTestProcessing, type TestProcessing } from '../../testing/test-processing.ts'
import { insertFinishedCommit } from '../../versioning/commit-records.ts'
import { branchesOf } from '../inputs.ts'
import { getPipeline, type PipelineRecord } from '../pipeline-records.ts'
import type { Path } from './alignment.ts'
import { type Arrival, forgetBefore, noteNewest } from './arrivals.ts'
import { Consideration } from './consideration.ts'

/** `r` is an input, too; what comes to the others may be made from commits of it and of `s`. */
const inputs = ['a', 'b', 'c', 'r'] as const
const rootCommits = { r: 4, s: 2 } as const

interface Model extends Arrival {
  readonly roots: readonly { readonly repo: string; readonly id: CommitId }[]
  readonly together: number
}

const arrival = fc.record({
  position: fc.nat(inputs.length - 1),
  r: fc.subarray([...Array(rootCommits.r).keys()], { maxLength: 2 }),
  s: fc.subarray([...Array(rootCommits.s).keys()], { maxLength: 1 }),
  isOld: fc.boolean(),
})
/** What became a head together, one behind the other. */
const backlog = fc.array(fc.array(arrival, { minLength: 1, maxLength: 3 }), {
  minLength: 1,
  maxLength: 40,
  size: 'max',
})

/** In one transaction. */
const tries = fc.integer({ min: 1, max: 20 })

function idOf(repo: string, index: number): CommitId {
  const letter = repo.charCodeAt(0).toString(16)
  return `${index.toString(16).padStart(8, '0')}${letter.repeat(12)}` as CommitId
}

async function openWorld(): Promise<TestProcessing> {
  const world = await openTestProcessing()
  for (const name of ['seed', 'r', 's']) await world.versioning.repos.create({ name })
  await world.commit('seed', { a: 'one' })
  for (const name of ['a', 'b', 'c']) {
    await world.versioning.repos.create({ name, provenance: ['r', 's'] })
  }
  world.code('p', (files) => Object.fromEntries(files))
  await world.pipeline('p', { cross: inputs.map((repo) => atom(repo, '/')) })
  await world.processing.pipelines.stop('p')
  for (const [repo, count] of Object.entries(rootCommits)) {
    for (let index = 0; index < count; index += 1) await insert(world, repo, index, [])
  }
  return world
}

async function insert(
  world: TestProcessing,
  repo: string,
  index: number,
  provenance: Model['roots'],
): Promise<CommitId> {
  const { state, startedAt } = await world.versioning.commits.inspect('seed', 'master')
  if (state.kind !== 'finished') throw new Error('the commit was finished')
  const id = idOf(repo, index)
  await world.database.transact((tx) =>
    insertFinishedCommit(tx, {
      repo: repo as RepoName,
      id,
      parent: undefined,
      provenance: provenance.map((root) => ({ ...root, repo: root.repo as RepoName })),
      startedAt,
      finishedAt: state.finishedAt + index,
      tree: state.tree,
      addedBytes: 0,
    }),
  )
  return id
}

/** Has all of it come to the pipeline. */
async function noteAll(
  world: TestProcessing,
  drawn: readonly (readonly {
    readonly position: number
    readonly r: readonly number[]
    readonly s: readonly number[]
    readonly isOld: boolean
  }[])[],
): Promise<readonly Model[]> {
  const noted: Model[] = []
  for (const group of drawn) {
    const together = noted.length + 1
    const first = noted.length
    for (const { position, r, s } of group) {
      const repo = inputs[position] ?? 'a'
      const sequence = noted.length + 1
      const roots = [
        ...r.map((index) => ({ repo: 'r', id: idOf('r', index) })),
        ...s.map((index) => ({ repo: 's', id: idOf('s', index) })),
      ]
      const own = { repo: 'r', id: idOf('r', r[0] ?? 0) }
      const commit = repo === 'r' ? own.id : await insert(world, repo, sequence, roots)
      noted.push({ sequence, position, commit, roots: repo === 'r' ? [own] : roots, together })
    }
    await world.database.transact(async (tx) => {
      await noteNewest(tx, 'p', noted.slice(first))
      for (const [index, { isOld }] of group.entries()) {
        if (!isOld) continue
        // As a release before has noted it.
        const sequence = first + index + 1
        await tx.run('UPDATE pipeline_arrivals SET roots = NULL WHERE sequence = ?', sequence)
      }
    })
  }
  return noted
}

/** Breaks off after so many tries, and goes on as in another transaction. */
async function chosenFor(
  tx: Transaction,
  pipeline: PipelineRecord,
  first: Arrival,
  triesMax: number,
): Promise<readonly Arrival[]> {
  let path: Path | undefined
  for (;;) {
    const choice = await new Consideration(tx, pipeline, triesMax).choose(first, path)
    if (choice.kind === 'none') return []
    if (choice.kind === 'found') return choice.options
    path = choice.path
  }
}

/** Goes through all choices, in the order in which they are preferred. */
function searched(noted: readonly Model[], first: Model): readonly CommitId[] {
  const order = [first.position, ...inputs.keys().filter((position) => position !== first.position)]
  const choose = (chosen: readonly Model[]): readonly Model[] | undefined => {
    if (!doFit(noted, chosen)) return undefined
    const position = order[chosen.length]
    if (position === undefined) return chosen
    const others = noted.filter((one) => one.position === position && one.sequence < first.sequence)
    for (const option of chosen.length === 0 ? [first] : others.toReversed()) {
      const found = choose([...chosen, option])
      if (found !== undefined) return found
    }
    return undefined
  }
  return (choose([]) ?? [])
    .toSorted((left, right) => left.position - right.position)
    .map(({ commit }) => commit)
}

function isBefore(one: Arrival, other: Arrival): boolean {
  return one.position === other.position && one.sequence < other.sequence
}

function doFit(noted: readonly Model[], chosen: readonly Model[]): boolean {
  const roots = Map.groupBy(
    chosen.flatMap((one) => one.roots),
    ({ repo }) => repo,
  )
  for (const some of roots.values()) if (new Set(some.map(({ id }) => id)).size > 1) return false
  for (const group of Map.groupBy(noted, ({ together }) => together).values()) {
    const latest = new Map(group.map(({ position, sequence }) => [position, sequence]))
    const sides = new Set<boolean>()
    for (const { position, sequence } of chosen) {
      const member = latest.get(position)
      if (member !== undefined && latest.size > 1) sides.add(sequence >= member)
    }
    if (sides.size > 1) return false
  }
  return true
}

test('what is chosen is what a search through all that waits finds, however much it is', async () => {
  await fc.assert(
    fc.asyncProperty(backlog, tries, fc.boolean(), async (drawn, triesMax, areUsed) => {
      await using world = await openWorld()
      const noted = await noteAll(world, drawn)
      await world.database.transact(async (tx) => {
        const pipeline = await getPipeline(tx, 'p')
        expect(branchesOf(pipeline.spec.input).map(({ repo }) => repo)).toEqual(inputs)
        let left = noted
        for (const first of noted) {
          const found = await chosenFor(tx, pipeline, first, triesMax)
          expect(found.map(({ commit }) => commit)).toEqual(searched(left, first))
          if (!areUsed) continue
          for (const one of found) {
            await forgetBefore(tx, pipeline.name, one)
            left = left.filter((other) => !isBefore(other, one))
          }
        }
      })
    }),
    { numRuns: 15 },
  )
})
