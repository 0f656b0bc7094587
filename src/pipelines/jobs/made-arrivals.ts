import type { CommitId, PipelineName, RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { type Arrival, arrivalOf, type ArrivalRow, type SequenceRange } from './arrivals.ts'
import { isRoot } from './root-commits.ts'

/** Commits made from one that are looked through. */
export const madeMax = 1000

/** How many commits are made from one, `madeMax` at most. */
export async function madeCountOf(tx: ReadTransaction, commit: CommitId): Promise<number> {
  const made = await tx.get<{ readonly count: number }>(
    'SELECT COUNT(*) AS count FROM (SELECT id FROM commit_provenance WHERE ancestor = ? LIMIT ?) AS some',
    commit,
    madeMax,
  )
  return made?.count ?? 0
}

/**
 * The arrivals at `position` that are `commit`, or made from it, newest first. Undefined when so much is made from it that
 * looking for it is no gain.
 */
export async function arrivalsMadeFrom(
  tx: ReadTransaction,
  commit: CommitId,
  pipeline: PipelineName,
  position: number,
  { from, below }: SequenceRange,
): Promise<readonly Arrival[] | undefined> {
  if ((await madeCountOf(tx, commit)) === madeMax) return undefined
  const rows = await tx.all<ArrivalRow>(
    // What is computed has no index: it goes by the commits, which are few.
    `SELECT sequence, position, commit_id FROM pipeline_arrivals
      WHERE commit_id IN (SELECT id FROM commit_provenance WHERE ancestor = ? UNION ALL SELECT ?)
        AND pipeline || '' = ? AND position + 0 = ? AND sequence + 0 >= ? AND sequence + 0 < ?
      ORDER BY sequence + 0 DESC`,
    commit,
    commit,
    pipeline,
    position,
    Math.max(from, Number.MIN_SAFE_INTEGER),
    Math.min(below, Number.MAX_SAFE_INTEGER),
  )
  return rows.map(arrivalOf)
}

/** Whether all arrivals at `position` are made from roots that `repo` has, or, where they come from it, are roots. */
export async function areAllMadeFrom(
  tx: ReadTransaction,
  { repo, isOwn }: { readonly repo: RepoName; readonly isOwn: boolean },
  pipeline: PipelineName,
  position: number,
): Promise<boolean> {
  const isOther = isOwn ? `AND NOT ${isRoot('a.commit_id', '?')}` : ''
  const other = await tx.get(
    `SELECT a.sequence FROM pipeline_arrivals a WHERE a.pipeline = ? AND a.position = ? ${isOther}
      AND NOT EXISTS (SELECT 1 FROM commit_provenance p WHERE p.id = a.commit_id AND p.ancestor_repo = ?
        AND ${isRoot('p.ancestor', 'p.ancestor_repo')})
      LIMIT 1`,
    pipeline,
    position,
    ...(isOwn ? [repo, repo] : []),
    repo,
  )
  return other === undefined
}
