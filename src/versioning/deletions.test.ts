import { expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import type { CommitId, RepoName } from '../base/names.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { insertFinishedCommit } from './commit-records.ts'
import type { Deletion } from './deletions.ts'

async function commit(
  world: TestVersioning,
  place: { readonly repo?: string; readonly branch?: string; readonly from?: readonly string[] },
  path: string,
): Promise<string> {
  const { commits, writes } = world.versioning
  const { repo = 'in', branch = 'master', from = [] } = place
  const provenance = from.map((id) => ({ repo: 'in', id }))
  const { id } = await commits.start({ repo, branch, provenance })
  await writes.put({ repo, commit: id, path }, utf8('ten bytes.'))
  await commits.finish(repo, id)
  return id
}

async function remove(world: TestVersioning, id: string, dryRun = false): Promise<Deletion> {
  return world.versioning.deletions.delete([{ repo: 'in', commit: id }], { dryRun })
}

async function open(): Promise<TestVersioning> {
  const world = await openTestVersioning()
  await world.versioning.repos.create({ name: 'in' })
  await world.versioning.repos.create({ name: 'out', provenance: ['in'] })
  return world
}

/** Parents and branches lead to commits that are there, and provenance, too. */
async function expectSound({ database }: TestVersioning): Promise<void> {
  const dangling = await database.read((tx) =>
    tx.all(
      `SELECT 'parent' AS what FROM commits WHERE parent IS NOT NULL
          AND parent NOT IN (SELECT id FROM commits)
        UNION ALL SELECT 'branch' FROM branches WHERE head NOT IN (SELECT id FROM commits)
        UNION ALL SELECT 'provenance' FROM commit_provenance
          WHERE id NOT IN (SELECT id FROM commits) OR ancestor NOT IN (SELECT id FROM commits)
        UNION ALL SELECT 'merge' FROM merge_parents
          WHERE id NOT IN (SELECT id FROM commits) OR parent NOT IN (SELECT id FROM commits)
        UNION ALL SELECT 'staged' FROM staged_writes WHERE id NOT IN (SELECT id FROM commits)`,
    ),
  )
  expect(dangling).toEqual([])
}

test('a commit in the middle goes; those after it keep its files and get its parent', async () => {
  await using world = await open()
  const { commits, repos } = world.versioning
  const first = await commit(world, {}, 'first')
  const wrong = await commit(world, {}, 'wrong')
  const last = await commit(world, {}, 'last')
  const result = await commit(world, { repo: 'out', from: [wrong] }, 'result')
  const readyCount = world.ready.length
  const plan = await remove(world, wrong, true)
  expect(plan.commits).toEqual([
    { repo: 'out', id: result, addedBytes: 10 },
    { repo: 'in', id: wrong, addedBytes: 10 },
  ])
  expect(plan.branches).toEqual([{ repo: 'out', name: 'master', head: undefined }])
  expect((await commits.inspect('in', wrong)).id).toBe(wrong)
  expect(await remove(world, wrong)).toEqual(plan)
  await expect(commits.inspect('in', wrong)).rejects.toThrow('not found')
  await expect(commits.inspect('out', 'master')).rejects.toThrow('not found')
  expect((await commits.inspect('in', last)).parent).toBe(first)
  expect(await world.paths('in', 'master')).toEqual(['/first', '/last', '/wrong'])
  expect((await repos.inspect('in')).sizeBytes).toBe(20)
  expect((await repos.inspect('out')).sizeBytes).toBe(0)
  expect(world.ready).toHaveLength(readyCount)
  await expectSound(world)
})

test('branches move to the nearest ancestor that stays, which is announced', async () => {
  await using world = await open()
  const { branches, deletions } = world.versioning
  const first = await commit(world, {}, 'first')
  const second = await commit(world, {}, 'second')
  const third = await commit(world, {}, 'third')
  await branches.set('in', 'same', 'master')
  const names = [second, third, third].map((id) => ({ repo: 'in', commit: id }))
  const { branches: moved } = await deletions.delete(names, { dryRun: false })
  expect(moved.map(({ name, head }) => [name, head])).toEqual([
    ['master', first],
    ['same', first],
  ])
  expect(world.ready.slice(-2)).toEqual([
    { repo: 'in', branch: 'master', id: first },
    { repo: 'in', branch: 'same', id: first },
  ])
  await expectSound(world)
  await remove(world, 'master')
  expect(await branches.list('in')).toEqual([])
})

test('an open commit that follows is in the way; one that is derived goes, too', async () => {
  await using world = await open()
  const { commits, writes } = world.versioning
  const wrong = await commit(world, {}, 'wrong')
  const derived = await commits.start({
    repo: 'out',
    branch: 'master',
    provenance: [{ repo: 'in', id: wrong }],
  })
  await writes.put({ repo: 'out', commit: derived.id, path: 'f' }, utf8('f'))
  const child = await commits.start({ repo: 'in', branch: 'master' })
  await expect(remove(world, wrong)).rejects.toThrow(
    `the open commit ${child.id} follows it; finish or delete that first`,
  )
  await commits.delete('in', child.id)
  await remove(world, wrong)
  await expect(commits.inspect('out', derived.id)).rejects.toThrow('not found')
  await expectSound(world)
})

test('a merge that goes leaves what it had merged to the commits after it', async () => {
  await using world = await open()
  const { branchChanges, branches } = world.versioning
  await commit(world, {}, 'base')
  await branches.set('in', 'dev', 'master')
  await commit(world, {}, 'ours')
  const theirs = await commit(world, { branch: 'dev' }, 'theirs')
  const merge = async () =>
    branchChanges.merge(
      { repo: 'in', from: 'dev', into: 'master' },
      { message: '', dryRun: false, prefer: undefined },
    )
  const { head } = await merge()
  await commit(world, {}, 'after')
  await remove(world, head ?? '')
  await expectSound(world)
  expect(await merge()).toMatchObject({ outcome: 'unchanged', base: theirs })
  const more = await commit(world, { branch: 'dev' }, 'more')
  await merge()
  await remove(world, more)
  await expectSound(world)
  expect(await merge()).toMatchObject({ outcome: 'unchanged', base: theirs })
})

test('a merge of a commit that goes is one of the commit before it', async () => {
  await using world = await open()
  const { branchChanges, branches } = world.versioning
  await commit(world, {}, 'base')
  await branches.set('in', 'dev', 'master')
  await commit(world, {}, 'ours')
  const first = await commit(world, { branch: 'dev' }, 'first')
  const second = await commit(world, { branch: 'dev' }, 'second')
  const names = { repo: 'in', from: 'dev', into: 'master' }
  const options = { message: '', dryRun: false, prefer: undefined }
  await branchChanges.merge(names, options)
  await remove(world, second)
  await expectSound(world)
  const again = await branchChanges.merge(names, options)
  expect(again).toMatchObject({ outcome: 'unchanged', base: first })
  expect(await world.paths('in', 'master')).toContain('/second')
})

test('what changes while it is planned is planned again, and not for ever', async () => {
  await using world = await open()
  const wrong = await commit(world, {}, 'wrong')
  world.uses.staleCount = 3
  await remove(world, wrong)
  const next = await commit(world, {}, 'next')
  world.uses.staleCount = 100
  await expect(remove(world, next)).rejects.toThrow('kept changing meanwhile')
  expect((await world.versioning.commits.inspect('in', 'master')).id).toBe(next)
})

test('more than one transaction should do is refused', async () => {
  await using world = await open()
  const wrong = await commit(world, {}, 'wrong')
  const { repo, id, startedAt, state } = await world.versioning.commits.inspect('in', wrong)
  if (state.kind !== 'finished') throw new Error('the commit was finished')
  await world.database.transact(async (tx) => {
    for (let count = 0; count < 2000; count += 1) {
      await insertFinishedCommit(tx, {
        repo: 'out' as RepoName,
        id: count.toString(16).padStart(32, '0') as CommitId,
        parent: undefined,
        provenance: [{ repo, id }],
        startedAt,
        finishedAt: startedAt,
        tree: state.tree,
        addedBytes: 0,
      })
    }
  })
  await expect(remove(world, wrong, true)).rejects.toThrow('more than 2000 commits would go')
  await world.versioning.deletions.delete([{ repo: 'out', commit: '0'.repeat(32) }], {
    dryRun: false,
  })
  expect((await remove(world, wrong)).commits).toHaveLength(2000)
})

test('DeleteCommit of 1.5 refuses a finished commit, and says what does not', async () => {
  await using world = await open()
  const id = await commit(world, {}, 'f')
  await expect(world.versioning.commits.delete('in', id)).rejects.toThrow(
    /^cannot delete finished commit .*has already finished; .* pachctl delete-commit --recursive$/,
  )
  await expect(remove(world, 'none')).rejects.toThrow('not found')
})

test('a tagged commit stays, with all that would go with it', async () => {
  await using world = await open()
  const first = await commit(world, {}, 'a')
  const made = await commit(world, { repo: 'out', from: [first] }, 'b')
  const { commitTags, commits } = world.versioning
  await commitTags.set({ repo: 'out', commit: made, tag: 'released', move: false })
  await expect(remove(world, first)).rejects.toThrow('it is tagged')
  expect((await commits.inspect('in', 'master')).id).toBe(first)
  await commitTags.delete('out', 'released')
  await remove(world, first)
  await expect(commits.inspect('out', made)).rejects.toThrow('not found')
})
