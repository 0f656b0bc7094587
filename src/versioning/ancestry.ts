import type { CommitId } from '../base/names.ts'
import type { ReadTransaction } from '../database/database.ts'
import { parentRows } from './records/commit-parents.ts'

/** Commits that are looked at in one transaction, which others wait for. */
const stepsMax = 10_000

/**
 * Whether `commit` has all that `ancestor` has: leads back to it, by parents and merge parents; a
 * commit leads back to itself. Costs one look-up for each commit since; of more than 10,000 it is
 * false.
 */
export async function isAncestor(
  tx: ReadTransaction,
  ancestor: CommitId,
  commit: CommitId,
): Promise<boolean> {
  const end = await tx.get<{ readonly written: number }>(
    'SELECT written FROM commits WHERE id = ?',
    ancestor,
  )
  if (end === undefined) return false
  const seen = new Set<CommitId>()
  const waiting = [commit]
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (id === ancestor) return true
    if (seen.has(id)) continue
    if (seen.size === stepsMax) return false
    seen.add(id)
    for (const parent of await parentRows(tx, id)) {
      // A commit is written after its parents.
      if (parent.written >= end.written) waiting.push(parent.id)
    }
  }
  return false
}
