import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { CommitId, RepoName } from '../base/names.ts'
import type { Database } from '../database/database.ts'
import { SqliteCopy } from '../database/sqlite-copy.ts'
import { openStoredVersioning } from '../testing/stored-versioning.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { CommitNotFoundError, RepoNotFoundError } from './errors.ts'
import { importCommit } from './imports.ts'
import { createRepo, removeRepo } from './repos.ts'
import { purgeDeletedRepos } from './records/deleted-repos.ts'
import { nextWritten } from './records/write-sequence.ts'
import { countStore } from './store-counts.ts'

function idOf(number: number): string {
  return number.toString(16).padStart(32, '0')
}

/** Finished commits on one branch, as rows: what making them takes is not the point here. */
async function addCommits(database: Database, repo: string, count: number): Promise<void> {
  await database.transact(async (tx) => {
    for (let number = 1; number <= count; number += 1) {
      await tx.run(
        `INSERT INTO commits (id, repo, parent, started_at, finished_at, root, size_bytes,
            file_count, written, staged_last, sealed_until)
          SELECT ?, repo, ?, started_at, finished_at, root, 0, 0, ?, 0, 0 FROM commits
            WHERE repo = ? AND finished_at IS NOT NULL LIMIT 1`,
        idOf(number),
        number === 1 ? null : idOf(number - 1),
        await nextWritten(tx),
        repo,
      )
    }
  })
}

async function rowsLeft(database: Database): Promise<readonly unknown[]> {
  return await database.read((tx) =>
    tx.all(`SELECT id FROM commits WHERE repo = 'r' UNION ALL SELECT name FROM deleted_repos
      UNION ALL SELECT id FROM staged_writes UNION ALL SELECT id FROM commit_provenance`),
  )
}

test('a repo of many rows is gone at once for everybody, and its rows go in small steps', async () => {
  await using directory = await TemporaryDirectory.create()
  await using opened = await openStoredVersioning(directory.path)
  const { versioning, database } = opened
  const { repos, commits, writes, files, commitTags, deletions } = versioning
  await repos.create({ name: 'source' })
  const source = await commits.start({ repo: 'source', branch: 'master' })
  await commits.finish('source', 'master')
  await repos.create({ name: 'r', provenance: ['source'] })
  await repos.create({ name: 'other' })
  const provenance = [{ repo: 'source', id: source.id }]
  const first = await commits.start({ repo: 'r', branch: 'master', provenance })
  await commits.finish('r', 'master')
  const open = await commits.start({ repo: 'r', branch: 'master' })
  await writes.put({ repo: 'r', commit: open.id, path: 'f' }, new Uint8Array(10))
  await addCommits(database, 'r', 5000)
  using copy = new SqliteCopy(join(directory.path, 'metadata.db'))
  expect(countStore(copy)).toEqual({ repos: 3, commits: 5003 })

  await database.transact((tx) => removeRepo(tx, 'r'))
  expect(countStore(copy)).toEqual({ repos: 2, commits: 1 })
  expect((await rowsLeft(database)).length).toBeGreaterThan(5000)
  await expect(repos.inspect('r')).rejects.toThrow(RepoNotFoundError)
  for (const id of [first.id, open.id, idOf(17)]) {
    await expect(commits.inspect('r', id)).rejects.toThrow(RepoNotFoundError)
  }
  await expect(
    writes.put({ repo: 'r', commit: open.id, path: 'g' }, new Uint8Array(1)),
  ).rejects.toThrow(RepoNotFoundError)
  await expect(commits.finish('r', open.id)).rejects.toThrow(RepoNotFoundError)
  await expect(files.inspect({ repo: 'r', commit: first.id, path: 'f' })).rejects.toThrow(
    RepoNotFoundError,
  )
  await expect(
    commits.start({ repo: 'other', branch: 'b', provenance: [{ repo: 'r', id: first.id }] }),
  ).rejects.toThrow(/not found/)
  const plan = await deletions.delete([{ repo: 'source', commit: source.id }], { dryRun: true })
  expect(plan.commits.map(({ id }) => id)).toEqual([source.id])
  expect(await Array.fromAsync(commitTags.list(undefined))).toEqual([])

  // Stopped after some, it goes on.
  const stop = new AbortController()
  const purging = purgeDeletedRepos(database, stop.signal)
  await expect.poll(async () => (await rowsLeft(database)).length).toBeLessThan(5000)
  stop.abort()
  await purging
  expect((await rowsLeft(database)).length).toBeGreaterThan(0)
  await Promise.all([purgeDeletedRepos(database), purgeDeletedRepos(database)])
  expect(await rowsLeft(database)).toEqual([])
  await repos.create({ name: 'r' })
  await expect(commits.inspect('r', idOf(17))).rejects.toThrow(CommitNotFoundError)
})

test('a repo gets the name of a large one at once, and neither has anything of the other', async () => {
  await using directory = await TemporaryDirectory.create()
  await using opened = await openStoredVersioning(directory.path)
  const { versioning, database } = opened
  const { repos, commits, writes, files } = versioning
  await repos.create({ name: 'r' })
  const old = await commits.start({ repo: 'r', branch: 'master' })
  await writes.put({ repo: 'r', commit: old.id, path: 'old' }, new Uint8Array(10))
  await commits.finish('r', 'master')
  await addCommits(database, 'r', 3000)
  for (let round = 0; round < 2; round += 1) {
    // Deleted and made again in one instant; the second time, while the first is still going.
    await database.transact(async (tx) => {
      await removeRepo(tx, 'r')
      await createRepo(tx, {
        name: 'r' as RepoName,
        provenance: [],
        description: `after ${round}`,
        createdAt: 1,
      })
    })
    expect(await Array.fromAsync(commits.list({ repo: 'r' }))).toEqual([])
    expect((await repos.inspect('r')).sizeBytes).toBe(0)
    await expect(commits.inspect('r', old.id)).rejects.toThrow(CommitNotFoundError)
    await expect(commits.inspect('r', 'master')).rejects.toThrow(CommitNotFoundError)
    await expect(commits.start({ repo: 'r', parent: old.id })).rejects.toThrow(/not found/)
    await expect(
      writes.put({ repo: 'r', commit: idOf(17), path: 'g' }, new Uint8Array(1)),
    ).rejects.toThrow(CommitNotFoundError)
    const next = await commits.start({ repo: 'r', branch: 'master' })
    await writes.put({ repo: 'r', commit: next.id, path: 'new' }, new Uint8Array(1))
    await commits.finish('r', 'master')
    expect((await repos.inspect('r')).sizeBytes).toBe(1)
    expect((await rowsLeft(database)).length).toBeGreaterThan(3000)
  }
  // A commit comes back with its id, as a pull brings it: nothing of the old one is at it.
  const back = { repo: 'r' as RepoName, id: idOf(17) as CommitId, parent: undefined }
  const open = { kind: 'open', staged: [] } as const
  await database.transact((tx) =>
    importCommit(tx, { ...back, provenance: [], startedAt: 2, state: open }),
  )
  await writes.put({ repo: 'r', commit: back.id, path: 'kept' }, new Uint8Array(3))
  await purgeDeletedRepos(database)
  expect(await rowsLeft(database)).toHaveLength(3)
  await commits.finish('r', back.id)
  const listed = await Array.fromAsync(files.list({ repo: 'r', commit: back.id, path: '/' }))
  expect(listed.map(({ path }) => path)).toEqual(['/kept'])
  expect((await repos.inspect('r')).sizeBytes).toBe(4)
  expect(await Array.fromAsync(commits.list({ repo: 'r' }))).toHaveLength(2)
})

test('a name is free when the deletion of a large repo, or of all, is acknowledged', async () => {
  await using directory = await TemporaryDirectory.create()
  await using opened = await openStoredVersioning(directory.path)
  const { versioning, database } = opened
  const { repos, commits } = versioning
  const deletions = [() => repos.delete('r', { force: false }), () => repos.deleteAll()]
  for (const deletion of deletions) {
    await repos.create({ name: 'r' })
    await repos.create({ name: 'small' })
    await commits.start({ repo: 'r', branch: 'master' })
    await commits.finish('r', 'master')
    await addCommits(database, 'r', 3000)
    await deletion()
    expect(await rowsLeft(database)).toEqual([])
    await repos.create({ name: 'r' })
    await repos.deleteAll()
  }
})
