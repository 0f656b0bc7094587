import type { CommitId } from '../../base/names.ts'
import type { Database, ReadTransaction, Transaction } from '../../database/database.ts'
import { noteDeletion } from '../deletion-notes.ts'
import { nextWritten } from './write-sequence.ts'

/**
 * Rows of a repo's commits that go in the transaction which deletes it. Of more, they go afterwards, so
 * many in a transaction: one takes some 10 µs, and everybody waits meanwhile.
 */
export const deletedAtOnceMax = 2000

/** Commits that are looked at in one turn. */
const pageMax = 200

/**
 * What a commit of a repo that exists satisfies, in SQL: rows of a repo that is being deleted may still
 * be there, and nobody sees them; a repo of the same name was made after they were written.
 */
export const isInRepo =
  'EXISTS (SELECT 1 FROM repos WHERE repos.name = commits.repo AND repos.made < commits.written)'

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

/** The rows of the commits that the repo has until now are left to `purgeDeletedRepos`. */
export async function markDeleted(tx: Transaction, repo: string): Promise<void> {
  await tx.run(
    `INSERT INTO deleted_repos (name, written) VALUES (?, ?)
      ON CONFLICT (name) DO UPDATE SET written = excluded.written`,
    repo,
    await nextWritten(tx),
  )
}

/** Whether a commit that was written then is of a repo of that name which is gone, and goes, too. */
export async function isBeingDeleted(
  tx: ReadTransaction,
  commit: { readonly repo: string; readonly written: number },
): Promise<boolean> {
  const sql = 'SELECT name FROM deleted_repos WHERE name = ? AND written >= ?'
  return (await tx.get(sql, commit.repo, commit.written)) !== undefined
}

/** The names of repos of which rows may still be there. */
async function deletedRepoNames(database: Database): Promise<readonly string[]> {
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
      isMore = await database.transact((tx) => purgeSome(tx, repo), { usesReserve: true })
    }
  }
}

/** False when nothing is left. */
async function purgeSome(tx: Transaction, repo: string): Promise<boolean> {
  const rows = await tx.all<{ readonly id: CommitId }>(
    `SELECT id FROM commits WHERE repo = ? AND NOT ${isInRepo}
      AND written <= (SELECT written FROM deleted_repos WHERE name = ?) LIMIT ?`,
    repo,
    repo,
    pageMax,
  )
  let left = deletedAtOnceMax
  for (const { id } of rows) {
    left -= await deleteStaged(tx, id, left)
    if (left > 0) left -= await deleteRow(tx, id)
    if (left <= 0) return true
  }
  if (rows.length > 0) return true
  const gone = await tx.run('DELETE FROM deleted_repos WHERE name = ?', repo)
  // The chunks of its commits are free only now.
  if (gone > 0) await noteDeletion(tx)
  return false
}

/** Deletes as many as that of what is staged in a commit; returns how many there were of these. */
async function deleteStaged(tx: Transaction, id: string, countMax: number): Promise<number> {
  return await tx.run(
    `DELETE FROM staged_writes WHERE id = ? AND sequence IN (
      SELECT sequence FROM staged_writes WHERE id = ? ORDER BY sequence LIMIT ?)`,
    id,
    id,
    countMax,
  )
}

/** Deletes the row of a commit, with what it is made from. */
async function deleteRow(tx: Transaction, id: string): Promise<number> {
  let count = await tx.run('DELETE FROM commit_provenance WHERE id = ?', id)
  count += await tx.run('DELETE FROM merge_parents WHERE id = ?', id)
  return count + (await tx.run('DELETE FROM commits WHERE id = ?', id))
}

/** Makes way for a commit that comes back with its id while its old repo is being deleted. */
export async function deleteIfGone(tx: Transaction, id: CommitId): Promise<void> {
  const gone = await tx.get(`SELECT id FROM commits WHERE id = ? AND NOT ${isInRepo}`, id)
  if (gone === undefined) return
  await tx.run('DELETE FROM staged_writes WHERE id = ?', id)
  await deleteRow(tx, id)
}
