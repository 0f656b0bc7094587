import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CommitId, RepoName } from '../../base/names.ts'
import {
  align,
  type Alignment,
  type Candidate,
  type Candidates,
  type Common,
  type Fitting,
  type Path,
} from './alignment.ts'
import { Sets } from './sets.ts'

interface Named extends Candidate {
  readonly name: string
}

const none = new Sets([])

function candidate(name: string, roots: Readonly<Record<string, string>>, sequence = 0): Named {
  return { name, sequence, roots: rootsOf(roots) }
}

function rootsOf(roots: Readonly<Record<string, string | readonly string[]>>): Candidate['roots'] {
  return new Map(
    Object.entries(roots).map(([repo, ids]) => [
      repo as RepoName,
      new Set([ids].flat() as CommitId[]),
    ]),
  )
}

/** One of its own root repo. */
function independent(name: string, sequence: number): Named {
  return candidate(name, { [name[0] ?? '']: name }, sequence)
}

function manyOf(repo: string): readonly Named[] {
  return Array.from({ length: 200 }, (_, index) =>
    candidate(`${repo}${index}`, { [repo]: `${index}` }),
  )
}

async function* each<Item>(items: Iterable<Item>, onItem: () => void): AsyncGenerator<Item> {
  for (const item of items) {
    onItem()
    yield item
  }
}

async function chosen(
  lists: readonly (readonly Named[])[],
  { sets = none, first = 0 }: { readonly sets?: Sets; readonly first?: number } = {},
): Promise<readonly string[] | undefined> {
  const inputs = lists.map((list) => ({
    fitting: () => ({ options: each(list, () => {}), by: [] }),
  }))
  return namesOf(await align(inputs, { sets, first }))
}

function namesOf(alignment: Alignment<Named>): readonly string[] | undefined {
  return alignment.kind === 'found' ? alignment.options.map(({ name }) => name) : undefined
}

test('the newest commits of independent inputs are chosen', async () => {
  const left = [candidate('l2', { left: 'l2' }), candidate('l1', { left: 'l1' })]
  const right = [candidate('r2', { right: 'r2' }), candidate('r1', { right: 'r1' })]
  expect(await chosen([left, right])).toEqual(['l2', 'r2'])
})

test('the branches of a diamond meet where they come from the same commit', async () => {
  const left = [candidate('l2', { root: 'c2' })]
  const right = [candidate('r2', { root: 'c2' }), candidate('r1', { root: 'c1' })]
  expect(await chosen([left, right])).toEqual(['l2', 'r2'])
})

test('nothing is chosen while one branch of a diamond lags behind', async () => {
  expect(await chosen([[candidate('l2', { root: 'c2' })], [candidate('r1', { root: 'c1' })]])).toBe(
    undefined,
  )
})

test('nothing is chosen while an input has no commit', async () => {
  expect(await chosen([[candidate('l1', { left: 'l1' })], []])).toBe(undefined)
})

test('a root repo that is an input too must agree with what is made from it', async () => {
  const root = [candidate('c2', { root: 'c2' })]
  const derived = [candidate('d1', { root: 'c1' }), candidate('d2', { root: 'c2' })]
  expect(await chosen([root, derived])).toEqual(['c2', 'd2'])
})

test('an earlier choice is taken back when a later input fits none of it', async () => {
  const left = [candidate('l2', { root: 'c2' }), candidate('l1', { root: 'c1' })]
  const right = [candidate('r1', { root: 'c1' })]
  expect(await chosen([left, right])).toEqual(['l1', 'r1'])
})

test('a commit that is made from two commits of one root never aligns', async () => {
  const torn = { name: 't', sequence: 0, roots: rootsOf({ root: ['c1', 'c2'] }) }
  expect(await chosen([[torn]])).toBe(undefined)
})

test('what became heads together is not chosen with what was before one of them', async () => {
  const left = [independent('l2', 3), independent('l1', 1)]
  const sets = new Sets([
    { together: 1, position: 0, sequence: 3 },
    { together: 1, position: 1, sequence: 4 },
  ])
  expect(await chosen([left, [independent('r1', 2)]], { sets })).toEqual(['l1', 'r1'])
  const right = [independent('r3', 5), independent('r1', 2)]
  expect(await chosen([left, right], { sets })).toEqual(['l2', 'r3'])
  expect(await chosen([[independent('l2', 3)], [independent('r1', 2)]], { sets })).toBe(undefined)
})

test('an input without commits costs nothing, however many others have, and however they are made', async () => {
  let triedCount = 0
  const lists = [...['a', 'b', 'c', 'd'].map(manyOf), []]
  const inputs = lists.map((items) => ({
    fitting: () => ({ options: each(items, () => (triedCount += 1)), by: [] }),
  }))
  expect(await align(inputs, { sets: none })).toEqual({ kind: 'none' })
  expect(triedCount).toBe(4)
})

const repos = ['q', 'r', 's']
const arbitraryLists = fc.array(
  fc.array(
    fc.dictionary(fc.constantFrom(...repos), fc.constantFrom('1', '2', '3'), { maxKeys: 2 }),
    { maxLength: 4 },
  ),
  { minLength: 1, maxLength: 5 },
)

test('what is chosen is what a search through all choices finds first, whatever the inputs leave out', async () => {
  await fc.assert(
    fc.asyncProperty(
      arbitraryLists,
      fc.nat(4),
      fc.array(fc.array(fc.nat(4), { minLength: 2, maxLength: 3 }), { maxLength: 3 }),
      fc.integer({ min: 1, max: 3 }),
      async (roots, start, together, triesMax) => {
        const first = start % roots.length
        let sequence = 20
        const lists = roots.map((list, position) =>
          list.map((own, index) => candidate(`${position}.${index}`, own, (sequence -= 1))),
        )
        const members = together.flatMap((positions, set) =>
          positions.map((position, index) => ({
            together: set,
            position: position % roots.length,
            sequence: 19 - ((position * 7 + index * 3 + set) % 20),
          })),
        )
        const sets = new Sets(members)
        const inputs = lists.map((list, position) => ({ fitting: filtered(list, position) }))
        const wanted = firstOfAll(lists, first, sets)
        expect(namesOf(await align(inputs, { sets, first }))).toEqual(wanted)
        expect(namesOf(await inSteps(inputs, { sets, first, triesMax }))).toEqual(wanted)
      },
    ),
    { numRuns: 1000 },
  )
})

/** Breaks off after so many tries, and goes on, until there is an answer. */
async function inSteps(
  inputs: readonly Candidates<Named>[],
  { triesMax, ...question }: { readonly sets: Sets; readonly first: number; triesMax: number },
): Promise<Alignment<Named>> {
  let path: Path | undefined
  for (;;) {
    let tries = 0
    const mayTry = (): boolean => (tries += 1) <= triesMax
    const answer = await align(inputs, { ...question, mayTry, path })
    if (answer.kind !== 'later') return answer
    path = answer.path
  }
}

/** Leaves out what is out of the window, and, of a list that is all made from one repo, what does not fit that. */
function filtered(list: readonly Named[], position: number): (common: Common) => Fitting<Named> {
  return ({ roots, windows }) => {
    const window = windows.get(position)
    const within = list.filter(
      ({ sequence }) =>
        window === undefined || (sequence >= window.from && sequence < window.below),
    )
    const by = window?.by ?? []
    for (const [repo, { commit, by: other }] of roots) {
      if (!list.every((item) => item.roots.has(repo))) continue
      const fitting = within.filter((item) => item.roots.get(repo)?.has(commit))
      return { options: each(fitting, () => {}), by: [...by, other] }
    }
    return { options: each(within, () => {}), by }
  }
}

/** Tries all choices, in the order in which they are preferred. */
function firstOfAll(
  lists: readonly (readonly Named[])[],
  first: number,
  sets: Sets,
): readonly string[] | undefined {
  const order = [first, ...lists.keys().filter((position) => position !== first)]
  const choices = order.reduce<readonly (readonly Named[])[]>(
    (begun, position) =>
      begun.flatMap((some) => (lists[position] ?? []).map((one) => [...some, one])),
    [[]],
  )
  const found = choices.find((choice) => doFit(choice, order, sets))
  return found && lists.map((_, position) => found[order.indexOf(position)]?.name ?? '')
}

function doFit(choice: readonly Named[], order: readonly number[], sets: Sets): boolean {
  const agreed = new Map<string, CommitId>()
  for (const [depth, { roots, sequence }] of choice.entries()) {
    for (const [repo, commits] of roots) {
      for (const commit of commits) {
        if ((agreed.get(repo) ?? commit) !== commit) return false
        agreed.set(repo, commit)
      }
    }
    for (const [position, { from, below }] of sets.windowsBeside(order[depth] ?? 0, sequence)) {
      const other = choice[order.indexOf(position)]
      if (other !== undefined && (other.sequence < from || other.sequence >= below)) return false
    }
  }
  return true
}
