import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CommitId, RepoName } from '../base/names.ts'
import { openTestVersioning } from '../testing/test-versioning.ts'
import { AncestorsOf, isAncestor } from './ancestry.ts'
import { addMergeParent } from './records/commit-parents.ts'

const drawn = fc.record({
  /** How far back the parents of each commit are. */
  parents: fc.array(fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 2 }), {
    minLength: 1,
    maxLength: 15,
  }),
  of: fc.nat(),
  asked: fc.array(fc.nat(), { minLength: 1, maxLength: 10 }),
})

test('what a commit leads back to is the same for many at once, in any order, as for each alone', async () => {
  await fc.assert(
    fc.asyncProperty(drawn, async ({ parents, of, asked }) => {
      await using world = await openTestVersioning()
      const { commits, repos } = world.versioning
      const repo = 'r' as RepoName
      await repos.create({ name: repo })
      const ids: CommitId[] = []
      for (const [index, [parent = 1, merged]] of parents.entries()) {
        const { id } = await commits.start({ repo, parent: ids[index - parent] })
        await commits.finish(repo, id)
        const other = merged === undefined ? undefined : ids[index - merged]
        if (other !== undefined)
          await world.database.transact((tx) => addMergeParent(tx, id, other))
        ids.push(id)
      }
      const pick = (number: number): CommitId => ids[number % ids.length] ?? ('none' as CommitId)
      await world.database.read(async (tx) => {
        const ancestors = new AncestorsOf(tx, pick(of))
        for (const number of asked) {
          const expected = await isAncestor(tx, pick(number), pick(of))
          expect(await ancestors.has(pick(number))).toBe(expected)
        }
        expect(await ancestors.has('none' as CommitId)).toBe(false)
      })
    }),
    { numRuns: 40 },
  )
})
