import { InvalidArgumentError } from '../../base/errors.ts'
import type { CommitId, RepoName } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import type { CommitName } from '../ports.ts'

/** Commits that one is made from, near and far. */
const ancestorCountMax = 10_000
/** What is looked at to find them: the provenance of each that is named. Some 500 ms. */
const edgeCountMax = 300_000

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

/**
 * Stores the commits that `id` is made from, and theirs.
 *
 * @throws {InvalidArgumentError} when they are more than 10,000.
 */
export async function writeCommitProvenance(
  tx: Transaction,
  id: CommitId,
  direct: readonly CommitName[],
): Promise<void> {
  const given = new Set(direct.map((ancestor) => ancestor.id))
  const closure = new Map(direct.map((ancestor) => [ancestor.id, ancestor.repo]))
  let edgeCount = 0
  for (const ancestor of direct) {
    const further = await commitAncestors(tx, ancestor.id)
    edgeCount += further.length
    for (const each of further) closure.set(each.id, each.repo)
    if (closure.size > ancestorCountMax || edgeCount > edgeCountMax) throw tooMany()
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

function tooMany(): InvalidArgumentError {
  return new InvalidArgumentError(
    `a commit can be made from at most ${ancestorCountMax} others, near and far: name fewer as its provenance`,
  )
}
