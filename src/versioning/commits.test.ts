import { afterAll, beforeAll, expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { assert } from '../base/errors.ts'
import { type CommitId, isCommitId } from '../base/names.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import type { CommitInfo, CommitTree } from './commit-records.ts'

let world: TestVersioning

beforeAll(async () => {
  world = await openTestVersioning()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

/** A finished commit on a branch. */
async function commitOn(repo: string, branch: string, path?: string): Promise<CommitId> {
  const { commits, writes } = world.versioning
  const { id } = await commits.start({ repo, branch })
  if (path !== undefined) await writes.put({ repo, commit: id, path }, utf8(path))
  await commits.finish(repo, id)
  return id
}

test('a branch moves to a commit as soon as it is started', async () => {
  const { branches, commits, repos } = world.versioning
  await repos.create({ name: 'start' })
  const { id } = await commits.start({ repo: 'start', branch: 'master' })
  expect(isCommitId(id)).toBe(true)
  expect(id[12]).toBe('4')
  expect(await branches.list('start')).toMatchObject([{ name: 'master', head: id }])
  const open = await commits.inspect('start', 'master')
  expect(open).toMatchObject({ id, parent: undefined, state: { kind: 'open' }, provenance: [] })
})

test('a commit needs a finished parent, else nothing happens', async () => {
  const { branches, commits, repos } = world.versioning
  await repos.create({ name: 'parent' })
  const { id } = await commits.start({ repo: 'parent', branch: 'master' })
  const text = `parent commit ${id} has not been finished`
  await expect(commits.start({ repo: 'parent', branch: 'master' })).rejects.toThrow(text)
  await expect(
    commits.start({ repo: 'parent', branch: 'other', parent: 'master' }),
  ).rejects.toThrow(text)
  expect(await branches.list('parent')).toHaveLength(1)
  expect(await Array.fromAsync(commits.list({ repo: 'parent' }))).toHaveLength(1)
})

test('a given parent wins over the head of the branch', async () => {
  const { commits, repos } = world.versioning
  await repos.create({ name: 'fork' })
  const first = await commitOn('fork', 'master', 'one')
  const second = await commitOn('fork', 'master', 'two')
  const forked = await commits.start({ repo: 'fork', branch: 'dev', parent: 'master' })
  expect((await commits.inspect('fork', forked.id)).parent).toBe(second)
  await commits.finish('fork', 'dev')
  await commits.start({ repo: 'fork', branch: 'dev', parent: first })
  expect(await world.paths('fork', 'dev')).toEqual(['/one'])
  const loose = await commits.start({ repo: 'fork' })
  expect((await commits.inspect('fork', loose.id)).parent).toBeUndefined()
})

test('commits that cannot be are refused', async () => {
  const { commits, repos } = world.versioning
  await repos.create({ name: 'bad' })
  await expect(commits.start({ repo: 'gone' })).rejects.toThrow('repos/ gone not found')
  await expect(commits.start({ repo: 'bad', parent: 'nope' })).rejects.toThrow(
    'pachyderm_pfs/commits/bad/ nope not found',
  )
  await expect(commits.start({ repo: 'bad', branch: 'a/b' })).rejects.toThrow('slashes')
  await expect(commits.start({ repo: 'bad', branch: 'b'.repeat(32) })).rejects.toThrow(
    'same length as commit IDs',
  )
  await expect(
    commits.start({ repo: 'bad', provenance: [{ repo: 'bad', id: 'master' }] }),
  ).rejects.toThrow('commits/bad/ master not found')
  expect(await Array.fromAsync(commits.list({ repo: 'bad' }))).toEqual([])
})

test('a commit is made from all that its provenance is made from', async () => {
  const { commits, repos } = world.versioning
  for (const name of ['v-a', 'v-b', 'v-c']) await repos.create({ name })
  const a = await commits.start({ repo: 'v-a' })
  const b = await commits.start({ repo: 'v-b', provenance: [a] })
  const c = await commits.start({ repo: 'v-c', provenance: [b, a] })
  expect((await commits.inspect('v-c', c.id)).provenance).toEqual([a, b])
})

test('a commit finishes once, and never changes after it', async () => {
  const { commits, repos, writes } = world.versioning
  await repos.create({ name: 'once' })
  const id = await commitOn('once', 'master', 'f')
  await expect(commits.finish('once', 'master')).rejects.toThrow(
    `commit once/${id} has already been finished`,
  )
  const file = { repo: 'once', commit: 'master', path: 'f' }
  await expect(writes.put(file, utf8('x'))).rejects.toThrow(`commit ${id} is not open`)
  await expect(writes.put(file, new Uint8Array(100_000))).rejects.toThrow('is not open')
  await expect(writes.delete(file)).rejects.toThrow('has already finished')
  await expect(writes.bulk('once', 'master')).rejects.toThrow('is not open')
  await expect(commits.delete('once', id)).rejects.toThrow('cannot delete finished commit')
  expect(await world.read('once', id, 'f')).toBe('f')
})

test('a commit without writes has its parent’s tree, or an empty one', async () => {
  const { commits, repos } = world.versioning
  await repos.create({ name: 'empty' })
  const none = await commits.inspect('empty', await commitOn('empty', 'master'))
  expect(none.state).toMatchObject({ kind: 'finished', tree: { sizeBytes: 0, fileCount: 0 } })
  const filled = await commits.inspect('empty', await commitOn('empty', 'master', 'f'))
  const same = await commits.inspect('empty', await commitOn('empty', 'master'))
  expect(same.state).toMatchObject({ kind: 'finished', tree: { sizeBytes: 1, fileCount: 1 } })
  expect(treeOf(same)).toEqual(treeOf(filled))
})

test('heads that become ready are announced, others are not', async () => {
  const { branches, commits, repos } = world.versioning
  await repos.create({ name: 'ready' })
  const heads = (): readonly unknown[] => world.ready.filter(({ repo }) => repo === 'ready')
  const loose = await commits.start({ repo: 'ready' })
  const { id } = await commits.start({ repo: 'ready', branch: 'master' })
  await branches.set('ready', 'dev', 'master')
  await commits.finish('ready', loose.id)
  expect(heads()).toEqual([])
  await commits.finish('ready', id)
  const both = [
    { repo: 'ready', branch: 'dev', id },
    { repo: 'ready', branch: 'master', id },
  ]
  expect(heads()).toEqual(both)
  await branches.set('ready', 'third', loose.id)
  const tree = treeOf(await commits.inspect('ready', id))
  const built = await commits.build({ repo: 'ready', branch: 'dev', tree })
  expect(heads()).toEqual([
    ...both,
    { repo: 'ready', branch: 'third', id: loose.id },
    { repo: 'ready', branch: 'dev', id: built.id },
  ])
})

test('a built commit has the given tree and nothing of its parent', async () => {
  const { commits, repos } = world.versioning
  await repos.create({ name: 'build' })
  const first = await commits.inspect('build', await commitOn('build', 'master', 'one'))
  await commitOn('build', 'other', 'two')
  const built = await commits.build({ repo: 'build', branch: 'other', tree: treeOf(first) })
  expect(await world.paths('build', 'other')).toEqual(['/one'])
  const info = await commits.inspect('build', built.id)
  expect(info.state.kind).toBe('finished')
  expect(info.parent).toBeDefined()
  expect((await world.versioning.repos.inspect('build')).sizeBytes).toBe(9)
})

test('a commit that is deleted while open gives its branches back to its parent', async () => {
  const { branches, commits, repos, writes } = world.versioning
  await repos.create({ name: 'del' })
  const first = await commitOn('del', 'master', 'f')
  const { id } = await commits.start({ repo: 'del', branch: 'master' })
  await branches.set('del', 'second', 'master')
  await commits.start({ repo: 'del', branch: 'rootless' })
  await writes.put({ repo: 'del', commit: id, path: 'g' }, utf8('g'))
  await commits.delete('del', 'master')
  await commits.delete('del', 'rootless')
  const heads = await branches.list('del')
  expect(new Map(heads.map(({ name, head }) => [name, head]))).toEqual(
    new Map([
      ['master', first],
      ['second', first],
    ]),
  )
  await expect(commits.inspect('del', id)).rejects.toThrow('not found')
  await expect(writes.put({ repo: 'del', commit: id, path: 'g' }, utf8('g'))).rejects.toThrow(
    `pachyderm_pfs/commits/del/ ${id} not found`,
  )
  expect(await stagedCount(id)).toBe(0)
})

test('commits are listed along their line, or all of a repo, latest written first', async () => {
  const { commits, repos } = world.versioning
  await repos.create({ name: 'list' })
  const ids: CommitId[] = []
  for (let count = 0; count < 250; count += 1) ids.push(await commitOn('list', 'master'))
  const newestFirst = ids.toReversed()
  const list = async (
    options: Omit<Parameters<typeof commits.list>[0], 'repo'>,
  ): Promise<readonly CommitId[]> =>
    (await Array.fromAsync(commits.list({ repo: 'list', ...options }))).map(({ id }) => id)
  expect(await list({ to: 'master' })).toEqual(newestFirst)
  expect(await list({})).toEqual(newestFirst)
  expect(await list({ countMax: 120 })).toEqual(newestFirst.slice(0, 120))
  expect(await list({ to: ids[200], from: ids[20] })).toEqual(newestFirst.slice(49, 229))
  expect(await list({ to: 'master', from: 'master' })).toEqual([])
  await expect(list({ from: 'master' })).rejects.toThrow('without a commit to list to')
  await expect(list({ to: 'nope' })).rejects.toThrow('commits/list/ nope not found')
  await expect(Array.fromAsync(commits.list({ repo: 'gone' }))).rejects.toThrow('not found')
  const open = await commits.start({ repo: 'list' })
  await commits.start({ repo: 'list', branch: 'late' })
  await commits.finish('list', open.id)
  expect((await list({ countMax: 1 }))[0]).toBe(open.id)
})

test('branches are set, moved and deleted, and listed latest written first', async () => {
  const { branches, commits, repos } = world.versioning
  await repos.create({ name: 'br' })
  const first = await commitOn('br', 'master')
  const second = await commitOn('br', 'master')
  await branches.set('br', 'a', first)
  await branches.set('br', 'b', 'master')
  await branches.set('br', 'a', 'b')
  expect((await branches.list('br')).map(({ name, head }) => [name, head])).toEqual([
    ['a', second],
    ['b', second],
    ['master', second],
  ])
  await branches.delete('br', 'b')
  await expect(branches.delete('br', 'b')).rejects.toThrow('pachyderm_pfs/branches/br/ b not found')
  await expect(branches.set('br', 'x/y', 'master')).rejects.toThrow('slashes')
  await expect(branches.set('br', 'x', 'nope')).rejects.toThrow('commits/br/ nope not found')
  expect(await branches.list('nowhere')).toEqual([])
  expect((await commits.inspect('br', second)).id).toBe(second)
})

function treeOf({ state }: CommitInfo): CommitTree {
  assert(state.kind === 'finished', 'the commit is finished')
  return state.tree
}

async function stagedCount(id: string): Promise<number> {
  const row = await world.database.read((tx) =>
    tx.get<{ readonly count: number }>(
      'SELECT count(*) AS count FROM staged_writes WHERE id = ?',
      id,
    ),
  )
  return row?.count ?? 0
}
