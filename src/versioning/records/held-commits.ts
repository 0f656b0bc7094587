import type { CommitId, RepoName } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import type { CommitName } from '../ports.ts'

// Rows: `docs/formats/metadata.md`.

export async function holdCommit(tx: Transaction, { repo, id }: CommitName): Promise<void> {
  await tx.run('INSERT INTO held_commits (id, repo, part_count) VALUES (?, ?, 0)', id, repo)
}

export async function letGo(tx: Transaction, id: CommitId): Promise<void> {
  await tx.run('DELETE FROM held_commits WHERE id = ?', id)
}

/** A write was staged that another is to complete; that counts for a commit that is held only. */
export async function addPart(tx: Transaction, id: CommitId): Promise<void> {
  await tx.run('UPDATE held_commits SET part_count = part_count + 1 WHERE id = ?', id)
}

/** How many staged writes of a commit wait for another. */
export async function partCount(tx: ReadTransaction, id: CommitId): Promise<number> {
  const row = await tx.get<{ readonly part_count: number }>(
    'SELECT part_count FROM held_commits WHERE id = ?',
    id,
  )
  return row?.part_count ?? 0
}

/** Some may have ended. */
export async function heldCommits(tx: ReadTransaction): Promise<readonly CommitName[]> {
  return tx.all<{ readonly repo: RepoName; readonly id: CommitId }>(
    'SELECT repo, id FROM held_commits ORDER BY id',
  )
}
