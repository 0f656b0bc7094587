import type { CommitId, CommitTag, RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'

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
