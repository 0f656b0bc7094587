import { expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { DataLossError } from '../base/errors.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'

/** A branch of some commits, whose first one is made to follow its last. */
async function withCircle(count: number): Promise<TestVersioning & { readonly last: string }> {
  const world = await openTestVersioning()
  const { commits, repos, writes } = world.versioning
  await repos.create({ name: 'r' })
  // Older than all of them, so that what the two have in common is looked for.
  await commits.start({ repo: 'r', branch: 'other' })
  await commits.finish('r', 'other')
  const ids: string[] = []
  for (let number = 0; number < count; number += 1) {
    ids.push((await commits.start({ repo: 'r', branch: 'master' })).id)
    await writes.put({ repo: 'r', commit: 'master', path: 'f' }, utf8(`${number}`), {
      overwrite: true,
    })
    await commits.finish('r', 'master')
  }
  const [first = ''] = ids
  const last = ids.at(-1) ?? ''
  await world.database.transact((tx) =>
    tx.run('UPDATE commits SET parent = ? WHERE id = ?', last, first),
  )
  return Object.assign(world, { last })
}

// Within what is read at once, and beyond.
test.each([1, 3, 150])(
  'a history of %i commits that goes in a circle comes to an end',
  async (count) => {
    await using world = await withCircle(count)
    const { branchChanges, commits, files, subscriptions } = world.versioning
    const list = Array.fromAsync(commits.list({ repo: 'r', to: 'master' }))
    await expect(list).rejects.toThrow(DataLossError)
    const history = files.history({ repo: 'r', commit: 'master', path: 'f' }, {})
    await expect(Array.fromAsync(history)).rejects.toThrow(/is damaged.*fsck tells more/)
    const { signal } = new AbortController()
    const events = subscriptions.subscribe({ repo: 'r', branch: 'master', signal })
    await expect(Array.fromAsync(events)).rejects.toThrow(DataLossError)
    const names = { repo: 'r', from: 'other', into: 'master' }
    await expect(
      branchChanges.merge(names, { message: '', dryRun: true, prefer: undefined }),
    ).rejects.toThrow(DataLossError)
  },
)
