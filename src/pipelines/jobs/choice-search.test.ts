import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CommitId, RepoName } from '../../base/names.ts'
import { type Candidate, join, nothingChosen } from './alignment.ts'
import type { Member } from './arrivals.ts'
import { canBeChosen, type Place } from './choice-search.ts'
import { Sets } from './sets.ts'

/** A commit at so much of the sequence, made from commits of root repos: `a1` is one of `a`. */
function candidate(sequence: number, ...commits: readonly string[]): Candidate {
  const roots = new Map<RepoName, Set<CommitId>>()
  for (const commit of commits) {
    const repo = commit.slice(0, 1) as RepoName
    roots.set(repo, (roots.get(repo) ?? new Set()).add(commit as CommitId))
  }
  return { sequence, roots }
}

interface Given {
  /** Newest first; undefined where none of it is chosen. */
  readonly here: readonly Candidate[] | undefined
  /** Root commits that what comes goes with; undefined where nothing comes. */
  readonly fits: ReadonlySet<string> | undefined
}

function placesOf(given: readonly Given[]): readonly Place[] {
  return given.map(({ here, fits }, position): Place => ({
    position,
    ...(fits !== undefined && { mayFit: async ({ id }) => fits.has(id) }),
    ...(here !== undefined && { here: async () => ({ options: listed(here), by: [] }) }),
  }))
}

async function* listed(candidates: readonly Candidate[]): AsyncGenerator<Candidate> {
  yield* candidates
}

async function triesFor(given: readonly Given[]): Promise<{ may: boolean; tries: number }> {
  let tries = 0
  const mayTry = (): boolean => {
    tries += 1
    return tries < 100_000
  }
  const places = placesOf(given)
  const may = await canBeChosen({ places, sets: new Sets([]), beside: undefined, mayTry })
  return { may, tries }
}

test('how much waits where it makes no difference is not tried with each other', async () => {
  const many = Array.from({ length: 200 }, (_, index) => candidate(300 - index, `b${index}`))
  const independent = many.map(({ sequence }, index) => candidate(sequence, `c${index}`))
  const given = [
    { here: [candidate(1, 'a1')], fits: undefined },
    { here: many, fits: undefined },
    { here: independent, fits: undefined },
    { here: [candidate(2, 'a2')], fits: new Set<string>() },
  ]
  expect(await triesFor(given)).toEqual({ may: false, tries: 5 })
})

test('what is tried too long may be chosen', async () => {
  const given = [{ here: [candidate(1, 'a1', 'a2')], fits: undefined }]
  const [places, sets] = [placesOf(given), new Sets([])]
  const ask = async (mayTry: () => boolean): Promise<boolean> =>
    await canBeChosen({ places, sets, beside: undefined, mayTry })
  expect(await ask(() => true)).toBe(false)
  expect(await ask(() => false)).toBe(true)
})

/** Tries everything. */
function isChoosable(
  given: readonly Given[],
  sets: Sets,
  chosen: readonly (Candidate | undefined)[] = [],
): boolean {
  const next = given[chosen.length]
  if (next !== undefined) {
    const coming = next.fits === undefined ? [] : [undefined]
    const options = [...coming, ...(next.here ?? [])]
    return options.some((option) => isChoosable(given, sets, [...chosen, option]))
  }
  let common = nothingChosen
  for (const [position, option] of chosen.entries()) {
    const newest = { sequence: Number.MAX_SAFE_INTEGER, roots: new Map() }
    const joined = join(common, { ...(option ?? newest), position }, sets)
    if ('with' in joined) return false
    common = joined
  }
  const commits = [...common.roots.values()].map(({ commit }) => commit)
  return given.every(
    ({ fits }, position) =>
      chosen[position] !== undefined || commits.every((commit) => fits?.has(commit)),
  )
}

const commits = ['a1', 'a2', 'b1', 'b2', 'c1', 'c2'] as const
const here = fc.array(fc.subarray([...commits], { maxLength: 2 }), { maxLength: 4 })
const fits = fc.option(fc.subarray([...commits]), { nil: undefined })
const places = fc.array(fc.record({ here, fits }), { minLength: 1, maxLength: 4 })

test('what can be chosen is what trying everything finds', async () => {
  await fc.assert(
    fc.asyncProperty(places, fc.array(fc.nat(3)), async (drawn, together) => {
      let sequence = 0
      const members: Member[] = []
      const given = drawn.map((place, position): Given => {
        const found = place.here.map((roots, index) => {
          sequence += 1
          const set = together[sequence]
          if (set !== undefined && index % 2 === 0)
            members.push({ together: set, position, sequence })
          return candidate(sequence, ...roots)
        })
        return { here: found.toReversed(), fits: place.fits && new Set(place.fits) }
      })
      const sets = new Sets(members)
      const asked = { places: placesOf(given), sets, beside: undefined, mayTry: () => true }
      expect(await canBeChosen(asked)).toBe(isChoosable(given, sets))
    }),
    { numRuns: 500 },
  )
})
