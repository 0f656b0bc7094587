import { expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import type { BranchChange, Preference } from './branch-changes.ts'
import type { FileName } from './files.ts'

type Changes = Readonly<Record<string, string | null>>

const repo = 'r'

/** A finished commit at the head of `branch`, which follows `parent` where the branch is new. */
async function commit(
  world: TestVersioning,
  branch: string,
  changes: Changes,
  parent?: string,
): Promise<string> {
  const { commits, writes } = world.versioning
  const { id } = await commits.start({ repo, branch, ...(parent !== undefined && { parent }) })
  for (const [path, text] of Object.entries(changes)) {
    const file = { repo, commit: id, path }
    if (text === null) await writes.delete(file)
    else await writes.put(file, utf8(text), { overwrite: true })
  }
  await commits.finish(repo, id)
  return id
}

async function contents(world: TestVersioning, name: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const path of await world.paths(repo, name)) found[path] = await world.read(repo, name, path)
  return found
}

async function merge(
  world: TestVersioning,
  from: string,
  into: string,
  options: { readonly dryRun?: boolean; readonly prefer?: Preference } = {},
): Promise<BranchChange> {
  const { dryRun = false, prefer } = options
  return world.versioning.branchChanges.merge(
    { repo, from, into },
    { message: 'why', dryRun, prefer },
  )
}

async function openForked(ours: Changes, theirs: Changes): Promise<TestVersioning> {
  const world = await openTestVersioning()
  await world.versioning.repos.create({ name: repo })
  await commit(world, 'master', { a: 'a', b: 'b', 'd/f': 'f' })
  await world.versioning.branches.set(repo, 'dev', 'master')
  await commit(world, 'master', ours)
  await commit(world, 'dev', theirs)
  return world
}

test('a merge has what both sides changed, and is announced like a finish', async () => {
  await using world = await openForked({ a: 'ours' }, { b: null, 'd/g': 'theirs' })
  const base = await world.versioning.commits.inspect(repo, 'master')
  const from = await world.versioning.commits.inspect(repo, 'dev')
  const change = await merge(world, 'dev', 'master')
  expect(change).toMatchObject({
    outcome: 'committed',
    base: base.parent,
    files: { added: 1, changed: 0, removed: 1 },
    conflictCount: 0,
  })
  expect(await contents(world, 'master')).toEqual({
    '/a': 'ours',
    '/d/f': 'f',
    '/d/g': 'theirs',
  })
  const made = await world.versioning.commits.inspect(repo, 'master')
  expect(made).toMatchObject({ id: change.head, parent: base.id, message: 'why', provenance: [] })
  expect(world.ready.at(-1)).toEqual({ repo, branch: 'master', id: change.head })
  expect((await world.versioning.commits.inspect(repo, 'dev')).id).toBe(from.id)
})

test('a second merge starts from the first', async () => {
  await using world = await openForked({ a: 'ours' }, { b: 'theirs' })
  const first = await world.versioning.commits.inspect(repo, 'dev')
  await merge(world, 'dev', 'master')
  await commit(world, 'master', { b: 'ours again' })
  await commit(world, 'dev', { 'd/f': 'more' })
  // From where both parted, `b` would be a conflict.
  expect(await merge(world, 'dev', 'master')).toMatchObject({
    outcome: 'committed',
    base: first.id,
    conflictCount: 0,
  })
  expect(await contents(world, 'master')).toMatchObject({ '/b': 'ours again', '/d/f': 'more' })
  expect(await merge(world, 'dev', 'master')).toMatchObject({ outcome: 'unchanged' })
  expect(await merge(world, 'master', 'dev')).toMatchObject({ outcome: 'fast-forwarded' })
})

test('a branch without anything of its own moves to the other', async () => {
  await using world = await openForked({}, {})
  const { branches, commits } = world.versioning
  const old = await commits.inspect(repo, 'master')
  await branches.set(repo, 'behind', old.parent ?? '')
  const dry = await merge(world, 'master', 'behind', { dryRun: true })
  expect(dry).toMatchObject({ outcome: 'fast-forwarded', head: old.id })
  expect((await commits.inspect(repo, 'behind')).id).toBe(old.parent)
  await merge(world, 'master', 'behind')
  expect((await commits.inspect(repo, 'behind')).id).toBe(old.id)
  expect(world.ready.at(-1)).toEqual({ repo, branch: 'behind', id: old.id })
})

test('conflicts are listed and nothing changes, unless one side is preferred', async () => {
  await using world = await openForked(
    { a: 'ours', 'd/f': null, new: 'x' },
    { a: 'theirs!', 'd/f': 'changed', 'new/below': 'y', c: 'c' },
  )
  const { commits } = world.versioning
  const before = await commits.inspect(repo, 'master')
  const change = await merge(world, 'dev', 'master')
  expect(change).toMatchObject({ outcome: 'conflicted', head: before.id, conflictCount: 3 })
  expect(
    change.conflicts.map(({ path, ours, theirs }) => [path, ours?.kind, theirs?.kind]),
  ).toEqual([
    ['/a', 'file', 'file'],
    ['/d/f', undefined, 'file'],
    ['/new', 'file', 'directory'],
  ])
  expect((await commits.inspect(repo, 'master')).id).toBe(before.id)
  const dry = await merge(world, 'dev', 'master', { prefer: 'theirs', dryRun: true })
  expect(dry).toMatchObject({ outcome: 'committed', head: undefined })
  expect(dry.conflicts).toEqual(change.conflicts)
  await world.versioning.branches.set(repo, 'kept', 'master')
  await merge(world, 'dev', 'kept', { prefer: 'ours' })
  expect(await contents(world, 'kept')).toEqual({ '/a': 'ours', '/b': 'b', '/c': 'c', '/new': 'x' })
  await merge(world, 'dev', 'master', { prefer: 'theirs' })
  expect(await contents(world, 'master')).toEqual({
    '/a': 'theirs!',
    '/b': 'b',
    '/c': 'c',
    '/d/f': 'changed',
    '/new/below': 'y',
  })
})

test('open commits, branches of pipelines and names of nothing are refused', async () => {
  await using world = await openForked({ a: 'ours' }, { b: 'theirs' })
  await expect(merge(world, 'dev', 'none')).rejects.toThrow('none not found')
  await expect(merge(world, 'none', 'dev')).rejects.toThrow('none not found')
  world.uses.written.add(`${repo}/master`)
  await expect(merge(world, 'dev', 'master')).rejects.toThrow('is written by pipeline r')
  world.uses.written.clear()
  await world.versioning.commits.start({ repo, branch: 'dev' })
  await expect(merge(world, 'dev', 'master')).rejects.toThrow('is open and cannot be merged yet')
  await expect(merge(world, 'master', 'dev')).rejects.toThrow('is open and cannot be changed yet')
})

test('merges of two branches into a third at once both take effect', async () => {
  await using world = await openForked({ a: 'ours' }, { b: 'theirs' })
  const { parent } = await world.versioning.commits.inspect(repo, 'master')
  await commit(world, 'other', { c: 'other' }, parent)
  const both = await Promise.all([merge(world, 'dev', 'master'), merge(world, 'other', 'master')])
  expect(both.map(({ outcome }) => outcome)).toEqual(['committed', 'committed'])
  expect(await contents(world, 'master')).toMatchObject({ '/a': 'ours', '/b': 'theirs' })
  expect(await contents(world, 'master')).toMatchObject({ '/c': 'other' })
})

test('histories that have nothing in common are merged file by file', async () => {
  await using world = await openForked({ a: 'ours' }, {})
  await commit(world, 'orphan', { a: 'ours', z: 'z' })
  expect(await merge(world, 'orphan', 'master')).toMatchObject({
    outcome: 'committed',
    base: undefined,
    files: { added: 1 },
  })
})

test('a revert undoes one commit in the middle and keeps what came after', async () => {
  await using world = await openForked({ a: 'wrong', b: null }, {})
  const { branchChanges, commits } = world.versioning
  const wrong = await commits.inspect(repo, 'master')
  const options = { message: '', dryRun: false, prefer: undefined }
  await commit(world, 'master', { later: 'stays' })
  const names = { repo, commit: wrong.id, branch: 'master' }
  const change = await branchChanges.revert(names, options)
  expect(change).toMatchObject({ outcome: 'committed', base: wrong.id })
  const all = { '/a': 'a', '/b': 'b', '/d/f': 'f', '/later': 'stays' }
  expect(await contents(world, 'master')).toEqual(all)
  expect(await branchChanges.revert(names, options)).toMatchObject({
    outcome: 'unchanged',
    head: change.head,
  })
  await branchChanges.revert({ ...names, commit: 'master' }, options)
  expect(await contents(world, 'master')).toMatchObject({ '/a': 'wrong', '/later': 'stays' })
})

test('a revert of what was changed again is a conflict, and of another branch refused', async () => {
  await using world = await openForked({ a: 'wrong' }, { c: 'c' })
  const { branchChanges, commits } = world.versioning
  const options = { message: '', dryRun: false, prefer: undefined }
  const { id } = await commits.inspect(repo, 'master')
  await commit(world, 'master', { a: 'wrong, and more' })
  const names = { repo, commit: id, branch: 'master' }
  expect(await branchChanges.revert(names, options)).toMatchObject({
    outcome: 'conflicted',
    conflicts: [{ path: '/a' }],
  })
  await branchChanges.revert(names, { ...options, prefer: 'theirs' })
  expect(await contents(world, 'master')).toMatchObject({ '/a': 'a' })
  await expect(branchChanges.revert({ ...names, branch: 'dev' }, options)).rejects.toThrow(
    'branch dev does not have commit',
  )
  await expect(branchChanges.revert({ ...names, branch: undefined }, options)).rejects.toThrow(
    'has several branches: say with --branch',
  )
})

test('the first commit of all is reverted to nothing', async () => {
  await using world = await openTestVersioning()
  await world.versioning.repos.create({ name: repo })
  const id = await commit(world, 'master', { a: 'a' })
  const options = { message: '', dryRun: false, prefer: undefined }
  await world.versioning.branchChanges.revert({ repo, commit: id, branch: undefined }, options)
  expect(await contents(world, 'master')).toEqual({})
})

/** A commit of 2^(levels + 1) - 1 more files, each directory `d` with twice what is in the one before. */
async function commitDoubled(
  world: TestVersioning,
  branch: string,
  levels: number,
): Promise<string> {
  const { commits, copies } = world.versioning
  const { id } = await commits.start({ repo, branch })
  const at = (path: string): FileName => ({ repo, commit: id, path })
  await copies.copy(at('d'), at('d0'), { mode: 'refuse' })
  for (let level = 0; level < levels; level += 1) {
    for (const name of ['a', 'b']) {
      await copies.copy(at(`d${level}`), at(`d${level + 1}/${name}`), { mode: 'refuse' })
    }
  }
  await commits.finish(repo, id)
  return id
}

test('what copies have made of few files is counted without a look at each path', async () => {
  await using world = await openForked({}, {})
  const id = await commitDoubled(world, 'master', 40)
  const change = await world.versioning.branchChanges.revert(
    { repo, commit: id, branch: 'master' },
    { message: '', dryRun: true, prefer: undefined },
  )
  expect(change).toMatchObject({
    outcome: 'committed',
    files: { added: 0, changed: 0, removed: 2 ** 41 - 1 },
  })
})

test('a merge that would hold more than can be counted is refused, and changes nothing', async () => {
  await using world = await openForked({}, {})
  const { commits, copies } = world.versioning
  const ours = await commitDoubled(world, 'master', 48)
  const { id: theirs } = await commits.start({ repo, branch: 'dev' })
  const everything = { repo, commit: ours, path: '/' }
  await copies.copy(everything, { repo, commit: theirs, path: '/all' }, { mode: 'refuse' })
  await commits.finish(repo, theirs)
  await expect(merge(world, 'dev', 'master')).rejects.toThrow(
    'branch master of r would hold more than 2^50 files or bytes',
  )
  expect((await commits.inspect(repo, 'master')).id).toBe(ours)
})
