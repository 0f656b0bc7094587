import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CommitId } from '../../base/names.ts'
import { insertNamed, nameOf } from '../../testing/named-commits.ts'
import { atom, openTestProcessing, type TestProcessing } from '../../testing/test-processing.ts'
import { getPipeline } from '../pipeline-records.ts'
import { type Arrival, noteNewest } from './arrivals.ts'
import { Consideration } from './consideration.ts'

const inputs = ['a', 'b', 'c', 'm'] as const
/** What others are made from. `m` is made from `r`, and has commits that are not. */
const sources: Readonly<Record<string, readonly string[]>> = {
  r0: [],
  r1: [],
  s0: [],
  s1: [],
  m0: ['r0'],
  m1: ['r1'],
  m2: [],
  m3: [],
}
const names = Object.keys(sources)

interface Model extends Arrival {
  readonly name: string
  readonly from: readonly string[]
  isGone: boolean
}

const action = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('come' as const),
      position: fc.nat(inputs.length - 1),
      from: fc.subarray(names, { maxLength: 3 }),
      isOld: fc.boolean(),
    }),
  },
  {
    weight: 2,
    // Of the repo `b`.
    arbitrary: fc.record({ kind: fc.constantFrom('delete' as const, 'restore' as const) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('lose' as const), index: fc.nat(40) }),
  },
)
const actions = fc.array(action, { minLength: 1, maxLength: 40, size: 'max' })

async function openWorld(): Promise<TestProcessing> {
  const world = await openTestProcessing()
  for (const name of ['seed', 'r', 's']) await world.versioning.repos.create({ name })
  await world.commit('seed', { a: 'one' })
  await world.versioning.repos.create({ name: 'm', provenance: ['r'] })
  for (const name of ['a', 'b', 'c']) {
    await world.versioning.repos.create({ name, provenance: ['m', 's'] })
  }
  world.code('p', (files) => Object.fromEntries(files))
  await world.pipeline('p', { cross: inputs.map((repo) => atom(repo, '/')) })
  await world.processing.pipelines.stop('p')
  for (const [name, from] of Object.entries(sources)) await insertNamed(world, name, from)
  return world
}

/** Has a commit come: the ids of those that are chosen for it. */
async function come(
  world: TestProcessing,
  { sequence, position, commit }: Model,
  isOld: boolean,
): Promise<readonly CommitId[]> {
  return await world.database.transact(async (tx) => {
    await noteNewest(tx, 'p', [{ position, commit }])
    const { last } = (await tx.get<{ readonly last: number }>(
      'SELECT MAX(sequence) AS last FROM pipeline_arrivals',
    )) ?? { last: 0 }
    // Numbers of what was forgotten last are given anew: the model counts on.
    await tx.run('UPDATE pipeline_arrivals SET sequence = ? WHERE sequence = ?', sequence, last)
    // As a release before has noted it.
    if (isOld)
      await tx.run('UPDATE pipeline_arrivals SET roots = NULL WHERE sequence = ?', sequence)
    const consideration = new Consideration(tx, await getPipeline(tx, 'p'), Infinity)
    const choice = await consideration.choose({ sequence, position, commit })
    return choice.kind === 'found' ? choice.options.map((one) => one.commit) : []
  })
}

function withSources(from: readonly string[]): readonly string[] {
  return from.flatMap((name) => [name, ...(sources[name] ?? [])])
}

/** Goes through all choices, in the order in which they are preferred. */
function searched(came: readonly Model[], first: Model): readonly CommitId[] {
  const order = [first.position, ...inputs.keys().filter((position) => position !== first.position)]
  const choose = (chosen: readonly Model[]): readonly Model[] | undefined => {
    const roots = new Set(
      chosen
        .flatMap(({ name, from }) => [...withSources(from), ...(from.length === 0 ? [name] : [])])
        .filter((name) => (sources[name] ?? []).length === 0),
    )
    const repos = new Set([...roots].map((name) => name.slice(0, 1)))
    if (repos.size < roots.size) return undefined
    const position = order[chosen.length]
    if (position === undefined) return chosen
    const others = came.filter((one) => one.position === position && !one.isGone)
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

/** The commit of a repo, and how it was made; what `m` has is there already. */
function modelOf(
  { position, from }: { readonly position: number; readonly from: readonly string[] },
  sequence: number,
): Model {
  const repo = inputs[position] ?? 'a'
  const own = names.filter((name) => name.startsWith('m'))
  const name = repo === 'm' ? (own[sequence % own.length] ?? 'm0') : `${repo}${sequence}`
  const made = repo === 'm' ? (sources[name] ?? []) : from
  return { sequence, position, commit: nameOf(name).id, name, from: made, isGone: false }
}

async function lose(world: TestProcessing, { commit }: Model): Promise<void> {
  await world.database.transact(async (tx) => {
    await tx.run('DELETE FROM commit_provenance WHERE id = ?', commit)
    await tx.run('DELETE FROM commits WHERE id = ?', commit)
  })
}

test('what lacks something is in no choice, whatever roots are agreed on, goes and comes back', async () => {
  await fc.assert(
    fc.asyncProperty(actions, async (drawn) => {
      await using world = await openWorld()
      const came: Model[] = []
      const chosen: (readonly CommitId[])[] = []
      const expected: (readonly CommitId[])[] = []
      let isThere = true
      for (const [index, act] of drawn.entries()) {
        const ofB = came.filter(({ name }) => name.startsWith('b'))
        if (act.kind === 'come') {
          const model = modelOf(act, index + 1)
          if (!isThere && model.name.startsWith('b')) continue
          if (!model.name.startsWith('m')) await insertNamed(world, model.name, model.from)
          came.push(model)
          const others = isThere ? came : came.filter((one) => !ofB.includes(one))
          chosen.push(await come(world, model, act.isOld))
          expected.push(searched(others, model))
        } else if (act.kind === 'lose') {
          const lost = came.filter(({ name }) => !name.startsWith('m')).at(act.index)
          if (lost === undefined || (ofB.includes(lost) && !isThere)) continue
          await lose(world, lost)
          lost.isGone = true
        } else if (act.kind === 'delete' && isThere) {
          await world.versioning.repos.delete('b', { force: true })
          isThere = false
        } else if (act.kind === 'restore' && !isThere) {
          await world.versioning.repos.create({ name: 'b', provenance: ['m', 's'] })
          for (const { name, from, isGone } of ofB)
            if (!isGone) await insertNamed(world, name, from)
          isThere = true
        }
      }
      expect(chosen).toEqual(expected)
    }),
    { numRuns: 25 },
  )
})
