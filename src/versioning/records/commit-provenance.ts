import type { CommitId, RepoName } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import type { CommitName } from '../ports.ts'

type AncestorRow = { readonly id: CommitId; readonly repo: RepoName }

/** Every commit that `id` is made from, near and far, by repo. */
export async function commitAncestors(
  tx: ReadTransaction,
  id: CommitId,
): Promise<readonly CommitName[]> {
  const rows = await tx.all<AncestorRow>(
    `SELECT ancestor AS id, ancestor_repo AS repo FROM commit_provenance WHERE id = ?
      ORDER BY ancestor_repo, ancestor`,
    id,
  )
  return rows.map((row) => ({ repo: row.repo, id: row.id }))
}

/** Stores the commits that `id` is made from, and theirs. */
export async function writeCommitProvenance(
  tx: Transaction,
  id: CommitId,
  direct: readonly CommitName[],
): Promise<void> {
  const given = new Set(direct.map((ancestor) => ancestor.id))
  const closure = new Map(direct.map((ancestor) => [ancestor.id, ancestor.repo]))
  for (const ancestor of direct) {
    for (const further of await commitAncestors(tx, ancestor.id)) {
      closure.set(further.id, further.repo)
    }
  }
  for (const [ancestor, repo] of closure) {
    await tx.run(
      'INSERT INTO commit_provenance (id, ancestor, ancestor_repo, direct) VALUES (?, ?, ?, ?)',
      id,
      ancestor,
      repo,
      given.has(ancestor) ? 1 : 0,
    )
  }
}
