import { boundBytes, bytesSumMax } from '../../base/byte-sums.ts'
import type { RepoName } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'

/** A repo's size. Releases before let it grow beyond what a number holds, so no row is read as it is. */
export const repoSizeColumn: string = `CASE WHEN size_bytes > ${bytesSumMax} THEN ${bytesSumMax}
  ELSE size_bytes END AS size_bytes`

/**
 * Of one row of `repos`: `added`, what its commits say that they added, and `untold`, how many of
 * them, of earlier releases, do not say it. The sum is a real, so that it cannot overflow; up to
 * `bytesSumMax` it is exact.
 */
export const repoSumColumns = `(SELECT COALESCE(SUM(CAST(added_bytes AS DOUBLE PRECISION)), 0)
      FROM commits c WHERE c.repo = repos.name AND c.written > repos.made) AS added,
    (SELECT COUNT(*) FROM commits c WHERE c.repo = repos.name AND c.written > repos.made
      AND c.finished_at IS NOT NULL AND c.added_bytes IS NULL) AS untold`

/** Counts what a commit added; false when there is no such repo. */
export async function growRepoSize(
  tx: Transaction,
  repo: RepoName,
  growth: { readonly addedBytes: number; readonly written: number },
): Promise<boolean> {
  const changed = await tx.run(
    `UPDATE repos SET size_bytes = CASE WHEN size_bytes > ? THEN ${bytesSumMax}
      ELSE size_bytes + ? END, written = ? WHERE name = ?`,
    bytesSumMax - growth.addedBytes,
    growth.addedBytes,
    growth.written,
    repo,
  )
  return changed > 0
}

/** Takes off what commits added that the repo has no more: they have left it before the call. */
export async function shrinkRepoSize(
  tx: Transaction,
  repo: RepoName,
  lostBytes: number,
): Promise<void> {
  const row = await tx.get<{ readonly size_bytes: number }>(
    `SELECT ${repoSizeColumn} FROM repos WHERE name = ?`,
    repo,
  )
  if (row === undefined) return
  const left = row.size_bytes === bytesSumMax ? await toldBytes(tx, repo) : undefined
  await tx.run(
    'UPDATE repos SET size_bytes = ? WHERE name = ?',
    left ?? Math.max(0, row.size_bytes - lostBytes),
    repo,
  )
}

/** What its commits add up to; undefined when one does not say it. */
async function toldBytes(tx: ReadTransaction, repo: RepoName): Promise<number | undefined> {
  const row = await tx.get<{ readonly added: number; readonly untold: number }>(
    `SELECT ${repoSumColumns} FROM repos WHERE name = ?`,
    repo,
  )
  return row === undefined || row.untold > 0 ? undefined : boundBytes(row.added)
}
