import type { CommitId, CommitTag, RepoName } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'

/** A commit tag as it is stored. */
export type CommitTagRow = {
  readonly repo: RepoName
  readonly name: CommitTag
  readonly id: CommitId
  readonly tagged_at: number
}

export const commitTagColumns = 'repo, name, id, tagged_at'

export async function findCommitTag(
  tx: ReadTransaction,
  repo: string,
  name: string,
): Promise<CommitTagRow | undefined> {
  return tx.get<CommitTagRow>(
    `SELECT ${commitTagColumns} FROM commit_tags WHERE repo = ? AND name = ?`,
    repo,
    name,
  )
}

/** Makes the tag, or moves it. */
export async function writeCommitTag(tx: Transaction, tag: CommitTagRow): Promise<void> {
  await tx.run(
    `INSERT INTO commit_tags (repo, name, id, tagged_at) VALUES (?, ?, ?, ?)
      ON CONFLICT (repo, name) DO UPDATE SET id = excluded.id, tagged_at = excluded.tagged_at`,
    tag.repo,
    tag.name,
    tag.id,
    tag.tagged_at,
  )
}
