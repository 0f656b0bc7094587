import type { ReadTransaction } from '../../database/database.ts'
import type { CommitName } from '../ports.ts'
import { isInRepo } from '../records/deleted-repos.ts'

/** One of `commits` that is not there any more; undefined when all are. One statement. */
export async function findGone(
  tx: ReadTransaction,
  commits: readonly CommitName[],
): Promise<CommitName | undefined> {
  const rows = await tx.all<{ readonly repo: string; readonly id: string }>(
    `SELECT repo, id FROM commits WHERE id IN (${commits.map(() => '?').join(', ')}) AND ${isInRepo}`,
    ...commits.map(({ id }) => id),
  )
  const there = new Set(rows.map(({ repo, id }) => `${repo}/${id}`))
  return commits.find(({ repo, id }) => !there.has(`${repo}/${id}`))
}
