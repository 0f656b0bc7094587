import { expect, test } from 'vitest'
import type { CommitId, RepoName } from '../../base/names.ts'
import { align, type Candidate } from './alignment.ts'

function candidate(commit: string, roots: Readonly<Record<string, string>>): Candidate {
  return {
    commit: commit as CommitId,
    roots: new Map(
      Object.entries(roots).map(([repo, id]) => [repo as RepoName, new Set([id as CommitId])]),
    ),
    sides: new Map(),
  }
}

/** One whose branch has a member of the set 1, before or since which it came. */
function sided(commit: string, side: boolean): Candidate {
  return { ...candidate(commit, { [commit]: commit }), sides: new Map([[1, side]]) }
}

async function chosen(
  candidates: readonly (readonly Candidate[])[],
): Promise<readonly string[] | undefined> {
  const aligned = await align(candidates.map((list) => ({ at: async (index) => list[index] })))
  return aligned?.map(({ commit }) => commit)
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
  const torn: Candidate = {
    commit: 't' as CommitId,
    roots: new Map([['root' as RepoName, new Set(['c1' as CommitId, 'c2' as CommitId])]]),
    sides: new Map(),
  }
  expect(await chosen([[torn]])).toBe(undefined)
})

test('what became heads together is not chosen with what was before one of them', async () => {
  const left = [sided('l2', true), sided('l1', false)]
  expect(await chosen([left, [sided('r1', false)]])).toEqual(['l1', 'r1'])
  expect(await chosen([left, [sided('r3', true), sided('r1', false)]])).toEqual(['l2', 'r3'])
  expect(await chosen([[sided('l2', true)], [sided('r1', false)]])).toBe(undefined)
})
