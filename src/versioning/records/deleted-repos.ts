import type { CommitId } from '../../base/names.ts'
import type { Database, ReadTransaction, Transaction } from '../../database/database.ts'
import { noteDeletion } from '../deletion-notes.ts'
import { sweepCommit } from '../staging/sweep.ts'

/**
 * Rows of a repo's commits that go in the transaction which deletes it. Of more, they go afterwards, so
 * many in a transaction: one takes some 10 µs, and everybody waits meanwhile.
 */
export const deletedAtOnceMax = 2000

/** Commits that are looked at in one turn. */
const pageMax = 200

/**
 * What a commit of a repo that exists satisfies, in SQL: rows of a repo that is being deleted may still
 * be there, and nobody sees them.
 */
export const isInRepo = 'EXISTS (SELECT 1 FROM repos WHERE repos.name = commits.repo)'

/** How many rows the commits of a repo have; counted up to a little more than `max` of each kind. */
export async function countRows(tx: ReadTransaction, repo: string, max: number): Promise<number> {
  const sources = [
    'commits',
    'commits JOIN staged_writes ON staged_writes.id = commits.id',
    'commits JOIN commit_provenance ON commit_provenance.id = commits.id',
    'commits JOIN merge_parents ON merge_parents.id = commits.id',
  ]
  let count = 0
  for (const source of sources) {
    if (count > max) break
    const row = await tx.get<{ readonly count: number }>(
      `SELECT COUNT(*) AS count FROM (SELECT 1 FROM ${source} WHERE commits.repo = ? LIMIT ?)`,
      repo,
      max + 1,
    )
    count += row?.count ?? 0
  }
  return count
}

/** The rows of the repo's commits are left to `purgeDeletedRepos`. */
export async function markDeleted(tx: Transaction, repo: string): Promise<void> {
  await tx.run('INSERT INTO deleted_repos (name) VALUES (?) ON CONFLICT (name) DO NOTHING', repo)
}

/** Whether rows of commits may still be there of a repo of that name, which is gone. */
export async function isBeingDeleted(tx: ReadTransaction, repo: string): Promise<boolean> {
  return (await tx.get('SELECT name FROM deleted_repos WHERE name = ?', repo)) !== undefined
}

/** The names of repos of which rows may still be there. */
export async function deletedRepoNames(database: Database): Promise<readonly string[]> {
  const rows = await database.read((tx) =>
    tx.all<{ readonly name: string }>('SELECT name FROM deleted_repos ORDER BY name'),
  )
  return rows.map(({ name }) => name)
}

/**
 * Deletes what is left of deleted repos, a few rows at a time. When it stops early, in whatever way,
 * the next call goes on; several at once do no harm.
 */
export async function purgeDeletedRepos(database: Database, signal?: AbortSignal): Promise<void> {
  for (const repo of await deletedRepoNames(database)) {
    for (let isMore = true; isMore;) {
      if (signal?.aborted === true) return
      isMore = await purgePage(database, repo, signal)
    }
    if (signal?.aborted === true) return
    await database.transact(
      async (tx) => {
        const gone = await tx.run('DELETE FROM deleted_repos WHERE name = ?', repo)
        // The chunks of its commits are free only now.
        if (gone > 0) await noteDeletion(tx)
      },
      { usesReserve: true },
    )
  }
}

/** False when nothing was left. */
async function purgePage(
  database: Database,
  repo: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const ids = await database.read(async (tx) => {
    if (!(await isBeingDeleted(tx, repo))) return []
    const rows = await tx.all<{ readonly id: CommitId }>(
      'SELECT id FROM commits WHERE repo = ? LIMIT ?',
      repo,
      pageMax,
    )
    return rows.map(({ id }) => id)
  })
  for (const id of ids) await sweepCommit(database, id, signal)
  if (ids.length === 0 || signal?.aborted === true) return false
  await database.transact(
    async (tx) => {
      // The name may have been given away meanwhile, by whoever came first to the end.
      if (!(await isBeingDeleted(tx, repo))) return
      let count = 0
      for (const id of ids) {
        count += await tx.run('DELETE FROM staged_writes WHERE id = ?', id)
        count += await tx.run('DELETE FROM commit_provenance WHERE id = ?', id)
        count += await tx.run('DELETE FROM merge_parents WHERE id = ?', id)
        count += await tx.run('DELETE FROM commits WHERE id = ? AND repo = ?', id, repo)
        if (count >= deletedAtOnceMax) return
      }
    },
    { usesReserve: true },
  )
  return true
}
