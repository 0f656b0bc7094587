import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CommitId } from '../base/names.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { type CommitTagInfo, requireUntagged } from './commit-tags.ts'
import {
  CommitNotFoundError,
  CommitTaggedError,
  CommitTagExistsError,
  CommitTagNotFoundError,
  NameInUseError,
  RepoNotFoundError,
} from './errors.ts'

let world: TestVersioning

beforeAll(async () => {
  world = await openTestVersioning()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

/** A repo with two finished commits on `master`, the newest first. */
async function twoCommits(repo: string): Promise<readonly [CommitId, CommitId]> {
  const { commits, repos } = world.versioning
  await repos.create({ name: repo })
  const older = await commits.start({ repo, branch: 'master' })
  await commits.finish(repo, 'master')
  const newer = await commits.start({ repo, branch: 'master' })
  await commits.finish(repo, 'master')
  return [newer.id, older.id]
}

async function tag(
  repo: string,
  commit: string,
  name: string,
  move = false,
): Promise<CommitTagInfo> {
  return world.versioning.commitTags.set({ repo, commit, tag: name, move })
}

async function tagsOf(repo?: string): Promise<readonly CommitTagInfo[]> {
  return Array.fromAsync(world.versioning.commitTags.list(repo))
}

test('a commit tag stays at its commit when branches move on', async () => {
  const { commits } = world.versioning
  const [newer] = await twoCommits('stays')
  const made = await tag('stays', 'master', 'v1')
  expect(made).toMatchObject({ repo: 'stays', name: 'v1', commit: newer })
  const next = await commits.start({ repo: 'stays', branch: 'master' })
  await commits.finish('stays', next.id)
  expect((await commits.inspect('stays', 'v1')).id).toBe(newer)
  expect((await commits.inspect('stays', 'master')).id).toBe(next.id)
  expect(await tagsOf('stays')).toEqual([made])
})

test('a commit tag moves only when that is asked for', async () => {
  const [newer, older] = await twoCommits('moves')
  const first = await tag('moves', 'master^', 'v1')
  expect(await tag('moves', older, 'v1')).toEqual(first)
  await expect(tag('moves', 'master', 'v1')).rejects.toBeInstanceOf(CommitTagExistsError)
  await expect(tag('moves', 'master', 'v1')).rejects.toThrow(
    `commit tag v1 of repo moves already exists, at commit ${older}`,
  )
  expect(await tagsOf('moves')).toEqual([first])
  expect(await tag('moves', 'master', 'v1', true)).toMatchObject({ commit: newer })
  expect(await tagsOf('moves')).toMatchObject([{ name: 'v1', commit: newer }])
})

test('a branch and a commit tag do not share a name', async () => {
  const { branches, commits } = world.versioning
  await twoCommits('shared')
  await expect(tag('shared', 'master^', 'master')).rejects.toBeInstanceOf(NameInUseError)
  await expect(tag('shared', 'master^', 'master', true)).rejects.toThrow(
    'a branch called master already exists in repo shared',
  )
  await tag('shared', 'master', 'v1')
  await expect(branches.set('shared', 'v1', 'master')).rejects.toBeInstanceOf(NameInUseError)
  await expect(commits.start({ repo: 'shared', branch: 'v1' })).rejects.toThrow(
    'a commit tag called v1 already exists in repo shared',
  )
  expect(await branches.list('shared')).toHaveLength(1)
  await world.versioning.repos.create({ name: 'unshared' })
  await commits.start({ repo: 'unshared', branch: 'v1' })
})

test.each([
  ['', 'a commit tag name is needed'],
  ['a/b', 'tag name ("a/b") invalid: slashes'],
  ['a~1', 'tag name ("a~1") invalid: ~ is not allowed'],
  ['a@b', 'tag name ("a@b") invalid: @ is not allowed'],
  ['0'.repeat(32), 'same length as commit IDs'],
  ['x'.repeat(256), 'is too long: at most 255'],
  ['a\nb', 'slashes and control characters'],
])('no commit tag is called %j', async (name, text) => {
  await expect(tag('anywhere', 'master', name)).rejects.toThrow(text)
})

test('what is not there cannot be tagged, listed or untagged', async () => {
  const { commitTags, repos } = world.versioning
  await repos.create({ name: 'bare' })
  await expect(tag('bare', 'master', 'v1')).rejects.toBeInstanceOf(CommitNotFoundError)
  await expect(tag('nowhere', 'master', 'v1')).rejects.toBeInstanceOf(RepoNotFoundError)
  await expect(tagsOf('nowhere')).rejects.toBeInstanceOf(RepoNotFoundError)
  await expect(commitTags.delete('nowhere', 'v1')).rejects.toBeInstanceOf(RepoNotFoundError)
  await expect(commitTags.delete('bare', 'v1')).rejects.toBeInstanceOf(CommitTagNotFoundError)
})

test('a tagged commit is not deleted until its tags are', async () => {
  const { commits, commitTags } = world.versioning
  const [newer, older] = await twoCommits('kept')
  const open = await commits.start({ repo: 'kept', branch: 'master' })
  await tag('kept', 'master', 'draft')
  await tag('kept', 'master', 'again')
  await expect(commits.delete('kept', 'master')).rejects.toBeInstanceOf(CommitTaggedError)
  await expect(commits.delete('kept', 'draft')).rejects.toThrow(
    `cannot delete commit kept/${open.id}: it is tagged again, draft; delete its tags first, as in pachctl delete-commit-tag kept again`,
  )
  expect((await commits.inspect('kept', 'master')).id).toBe(open.id)
  const check = async (ids: readonly CommitId[]): Promise<void> =>
    world.database.read((tx) => requireUntagged(tx, ids))
  await expect(check([newer, older])).resolves.toBeUndefined()
  await expect(check([newer, open.id])).rejects.toMatchObject({ commit: open.id })
  await commitTags.delete('kept', 'draft')
  await expect(commits.delete('kept', 'master')).rejects.toBeInstanceOf(CommitTaggedError)
  await commitTags.delete('kept', 'again')
  await commits.delete('kept', 'master')
  expect((await commits.inspect('kept', 'master')).id).toBe(newer)
})

test('a repo with tags is deleted by force only, and they go with it', async () => {
  const { commitTags, repos } = world.versioning
  await twoCommits('goes')
  for (let at = 9; at > 2; at -= 1) await tag('goes', 'master', `v${at}`)
  await expect(repos.delete('goes', { force: false })).rejects.toMatchObject({
    message:
      'cannot delete repo goes: it has commits that are tagged v3, v4, v5, v6, v7 and 2 more; delete the tags first, as in pachctl delete-commit-tag goes v3, or the repo with them: pachctl delete-repo goes --force',
  })
  expect(await tagsOf('goes')).toHaveLength(7)
  for (let at = 4; at <= 9; at += 1) await commitTags.delete('goes', `v${at}`)
  await expect(repos.delete('goes', { force: false })).rejects.toThrow('are tagged v3; delete')
  await repos.delete('goes', { force: true })
  expect((await tagsOf()).filter(({ repo }) => repo === 'goes')).toEqual([])
  await repos.create({ name: 'goes' })
  expect(await tagsOf('goes')).toEqual([])
})

test('any number of tags are listed by repo and name', async () => {
  const [newer] = await twoCommits('many-b')
  await twoCommits('many-a')
  await tag('many-a', 'master', 'z')
  const names = Array.from({ length: 1201 }, (_, index) => `t${String(index).padStart(4, '0')}`)
  await world.database.transact(async (tx) => {
    for (const name of names.toReversed()) {
      await tx.run(
        'INSERT INTO commit_tags (repo, name, id, tagged_at) VALUES (?, ?, ?, 0)',
        'many-b',
        name,
        newer,
      )
    }
  })
  expect((await tagsOf('many-b')).map(({ name }) => String(name))).toEqual(names)
  const all = (await tagsOf()).filter(({ repo }) => repo.startsWith('many-'))
  expect(all.map(({ name }) => String(name))).toEqual(['z', ...names])
})
