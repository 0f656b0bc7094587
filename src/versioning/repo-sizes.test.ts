import { expect, test } from 'vitest'
import { addBytes, bytesSumMax } from '../base/byte-sums.ts'
import { utf8 } from '../base/bytes.ts'
import { CheckRun } from '../base/check-run.ts'
import { SystemClock } from '../base/clock.ts'
import type { CommitId, RepoName } from '../base/names.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { insertFinishedCommit } from './commit-records.ts'
import { moveCommits } from './repo-moves.ts'
import { checkVersioningSizes } from './versioning-check.ts'

const half = 2 ** 52

async function open(): Promise<TestVersioning> {
  const world = await openTestVersioning()
  await world.versioning.repos.create({ name: 'r' })
  return world
}

async function commit({ versioning }: TestVersioning, path: string, repo = 'r') {
  const { id } = await versioning.commits.start({ repo, branch: 'master' })
  await versioning.writes.put({ repo, commit: id, path }, utf8('ten bytes.'))
  await versioning.commits.finish(repo, id)
  return id
}

/** Commits that say that they added so much, which would take long to put. */
async function insertCommits(world: TestVersioning, sizes: readonly number[]): Promise<void> {
  const root = await world.ports.trees.emptyRoot()
  const tree = { root: root.root, sizeBytes: root.sizeBytes, fileCount: root.fileCount }
  for (const [index, addedBytes] of sizes.entries()) {
    const id = index.toString(16).padStart(32, '0') as CommitId
    const facts = { parent: undefined, provenance: [], startedAt: 1, finishedAt: 2 }
    await world.database.transact((tx) =>
      insertFinishedCommit(tx, { ...facts, repo: 'r' as RepoName, id, tree, addedBytes }),
    )
  }
}

/** As releases before stored it. */
async function setStoredSize({ database }: TestVersioning, sql: string): Promise<void> {
  await database.transact((tx) => tx.run(`UPDATE repos SET size_bytes = ${sql} WHERE name = 'r'`))
}

async function sizeOf({ versioning }: TestVersioning, repo = 'r'): Promise<number> {
  return (await versioning.repos.inspect(repo)).sizeBytes
}

async function findings({ database }: TestVersioning, fix: boolean): Promise<readonly string[]> {
  const found: string[] = []
  const options = { full: false, fix, exclusive: true }
  const run = new CheckRun(options, new AbortController().signal, async ({ what, repair }) => {
    found.push(`${repair}: ${what}`)
  })
  await checkVersioningSizes({ database, clock: new SystemClock(), run })
  return found
}

test('sums of bytes stay at the largest number that is exact', () => {
  expect(addBytes(half, half - 1)).toBe(Number.MAX_SAFE_INTEGER)
  expect(addBytes(half, half - 2)).toBe(Number.MAX_SAFE_INTEGER - 1)
  expect(addBytes(bytesSumMax, bytesSumMax)).toBe(Number.MAX_SAFE_INTEGER)
})

test('the size of a repo stays at the bound, and all calls go on', async () => {
  await using world = await open()
  await insertCommits(world, [half, half - 1])
  expect(await sizeOf(world)).toBe(bytesSumMax)
  const last = await commit(world, 'more')
  expect(await sizeOf(world)).toBe(bytesSumMax)
  const { commits, deletions, repos } = world.versioning
  expect((await repos.list()).map(({ sizeBytes }) => sizeBytes)).toEqual([bytesSumMax])
  expect((await commits.inspect('r', last)).id).toBe(last)
  expect(await findings(world, false)).toEqual([])
  // One goes, and what is left is known exactly, though it was not while it was beyond.
  const first = '0'.repeat(32)
  await deletions.delete([{ repo: 'r', commit: first }], { dryRun: false })
  expect(await sizeOf(world)).toBe(half - 1 + 10)
  expect(await findings(world, false)).toEqual([])
  await deletions.delete([{ repo: 'r', commit: last }], { dryRun: false })
  expect(await sizeOf(world)).toBe(half - 1)
  await repos.delete('r', { force: true })
  expect(await repos.list()).toEqual([])
})

test('a deletion that leaves more than the bound leaves the size there', async () => {
  await using world = await open()
  await insertCommits(world, [half, half, half])
  const gone = { repo: 'r', commit: '0'.repeat(32) }
  await world.versioning.deletions.delete([gone], { dryRun: false })
  expect(await sizeOf(world)).toBe(bytesSumMax)
  expect(await findings(world, false)).toEqual([])
})

test.each(['9007199254740992', '9223372036854775807'])(
  'a repo that is stored with %s bytes is read, written, repaired and deleted',
  async (stored) => {
    await using world = await open()
    const { commits, repos } = world.versioning
    const first = await commit(world, 'a')
    await setStoredSize(world, stored)
    expect(await sizeOf(world)).toBe(bytesSumMax)
    expect(await repos.list()).toHaveLength(1)
    expect((await commits.inspect('r', 'master')).id).toBe(first)
    const problem = `repo r is said to have more than ${bytesSumMax} bytes, where sizes end: its size is 10`
    expect(await findings(world, false)).toEqual([`possible: ${problem}`])
    expect(await findings(world, true)).toEqual([`done: ${problem}`])
    expect(await findings(world, true)).toEqual([])
    expect(await sizeOf(world)).toBe(10)
    await setStoredSize(world, stored)
    await commit(world, 'b')
    expect(await sizeOf(world)).toBe(bytesSumMax)
    await setStoredSize(world, stored)
    await world.versioning.deletions.delete([{ repo: 'r', commit: first }], { dryRun: false })
    expect(await sizeOf(world)).toBe(10)
    await setStoredSize(world, stored)
    await repos.delete('r', { force: true })
    expect(await repos.list()).toEqual([])
  },
)

test('a repo with commits that do not say what they added is repaired to the bound', async () => {
  await using world = await open()
  await commit(world, 'a')
  await world.database.transact((tx) => tx.run('UPDATE commits SET added_bytes = NULL'))
  await setStoredSize(world, '9007199254740992')
  expect(await findings(world, true)).toHaveLength(1)
  expect(await findings(world, true)).toEqual([])
  expect(await sizeOf(world)).toBe(bytesSumMax)
})

test('commits that add up to more than 2^63 bytes are added up, too', async () => {
  await using world = await open()
  await insertCommits(
    world,
    Array.from({ length: 1100 }, () => bytesSumMax),
  )
  expect(await findings(world, false)).toEqual([])
  const gone = { repo: 'r', commit: '0'.repeat(32) }
  await world.versioning.deletions.delete([gone], { dryRun: false })
  expect(await sizeOf(world)).toBe(bytesSumMax)
})

test('commits that move to another repo keep both sizes in bounds', async () => {
  await using world = await open()
  await insertCommits(world, [half, half, half])
  await world.versioning.repos.create({ name: 'other' })
  await commit(world, 'a', 'other')
  await world.database.transact((tx) =>
    moveCommits(tx, { from: 'r' as RepoName, to: 'other' as RepoName, onto: undefined }),
  )
  expect([await sizeOf(world), await sizeOf(world, 'other')]).toEqual([0, bytesSumMax])
  expect(await findings(world, false)).toEqual([])
})
