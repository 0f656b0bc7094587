import { DatabaseSync } from 'node:sqlite'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { refused } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getText } from '../harness/files.ts'
import { TestClient } from '../harness/test-pachd.ts'

const commitCount = 30_000

/** Rows as of so many commits; making them by calls takes minutes. */
function addCommits(root: string): void {
  const database = new DatabaseSync(join(root, 'metadata.db'))
  try {
    database.exec(`
      WITH RECURSIVE numbers (number) AS
        (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ${commitCount})
      INSERT INTO commits (id, repo, parent, started_at, finished_at, root, size_bytes, file_count,
          written, staged_last, sealed_until)
        SELECT printf('%032x', number), repo, NULL, started_at, finished_at, root, size_bytes,
          file_count, last + number, 0, 0
        FROM numbers, versioning_sequence, (SELECT * FROM commits WHERE repo = 'large' LIMIT 1);
      UPDATE versioning_sequence SET last = last + ${commitCount}`)
  } finally {
    database.close()
  }
}

/** In a copy: closing the store itself would move its log, which is the server's to do. */
async function commitsLeft(root: string): Promise<number> {
  await using directory = await TemporaryDirectory.create()
  for (const name of ['metadata.db', 'metadata.db-wal']) {
    await cp(join(root, name), directory.join(name), { force: true })
  }
  const database = new DatabaseSync(directory.join('metadata.db'))
  try {
    const row = database.prepare("SELECT COUNT(*) AS count FROM commits WHERE repo = 'large'").get()
    return Number(row?.['count'])
  } finally {
    database.close()
  }
}

test('a server that is killed while it deletes a large repo goes on when it is started, and the name is free', async () => {
  await using directory = await TemporaryDirectory.create()
  const root = directory.join('data')
  const args = ['--root', root, '--address', '127.0.0.1:0']
  const some = commitOf('large', (17).toString(16).padStart(32, '0'))
  {
    await using child = new ChildPachd(args)
    await using client = new TestClient(await child.ready)
    await client.pfs.createRepo({ repo: { name: 'large' } })
    await commitFiles(client, { repo: 'large', branch: 'master' }, { f: 'x' })
    await client.pfs.createRepo({ repo: { name: 'kept' } })
    await commitFiles(client, { repo: 'kept', branch: 'master' }, { f: 'kept' })
    child.signal('SIGTERM')
    await child.exit
  }
  addCommits(root)
  {
    await using child = new ChildPachd(args)
    await using client = new TestClient(await child.ready)
    expect((await client.pfs.inspectCommit({ commit: some })).commit?.id).toBe(some.id)
    const deletion = client.pfs.deleteRepo({ repo: { name: 'large' } }).catch(() => undefined)
    const isGone = async (): Promise<boolean> =>
      await client.pfs.inspectRepo({ repo: { name: 'large' } }).then(
        () => false,
        () => true,
      )
    await expect.poll(isGone, { interval: 1 }).toBe(true)
    child.signal('SIGKILL')
    await child.exit
    await deletion
  }
  expect(await commitsLeft(root)).toBeGreaterThan(0)
  {
    await using child = new ChildPachd(args)
    await using client = new TestClient(await child.ready)
    // At once: most of the old rows are still there, and they are nobody's.
    await client.pfs.createRepo({ repo: { name: 'large' } })
    await expect(client.pfs.inspectCommit({ commit: some })).rejects.toEqual(
      refused('not-found', 'not found'),
    )
    await commitFiles(client, { repo: 'large', branch: 'master' }, { f: 'new' })
    child.signal('SIGKILL')
    await child.exit
  }
  expect(await commitsLeft(root)).toBeGreaterThan(1)
  await using child = new ChildPachd(args)
  await using client = new TestClient(await child.ready)
  const { commitInfo } = await client.pfs.listCommit({ repo: { name: 'large' } })
  expect(commitInfo).toHaveLength(1)
  const events = await collect(client.admin.check({}))
  const findings = events.flatMap(({ event }) => (event.case === 'finding' ? [event.value] : []))
  expect(findings).toEqual([])
  await expect.poll(() => commitsLeft(root), { timeout: 60_000 }).toBe(1)
  expect(await getText(client, fileOf('large', 'master', 'f'))).toBe('new')
  expect(await getText(client, fileOf('kept', 'master', 'f'))).toBe('kept')
  expect((await client.pfs.inspectRepo({ repo: { name: 'large' } })).sizeBytes).toBe(3n)
})
