import type { RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { findPipeline } from '../pipeline-records.ts'
import { lostWriter } from './prospects.ts'

/**
 * Of `repos`, which are all that are made from `source`: those to which no pipeline brings anything of
 * it any more, since on every way there one was deleted, and its repo stayed.
 *
 * Whoever deletes a pipeline does not expect more from it, and need not be told each time. Not so with
 * a pipeline that has a way left: what it waits for is missed.
 */
export async function cutOffRepos(
  tx: ReadTransaction,
  source: RepoName,
  repos: ReadonlySet<RepoName>,
): Promise<ReadonlySet<RepoName>> {
  const lost = new Set<RepoName>()
  for (const repo of repos) if ((await lostWriter(tx, repo)) !== undefined) lost.add(repo)
  if (lost.size === 0) return lost
  const reached = new Set<RepoName>()
  const waiting = [source]
  for (const repo of repos) {
    // People write to it what they make from the source.
    if (!lost.has(repo) && (await findPipeline(tx, repo)) === undefined) waiting.push(repo)
  }
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (reached.has(next)) continue
    reached.add(next)
    const readers = await tx.all<{ readonly pipeline: RepoName }>(
      'SELECT DISTINCT pipeline FROM pipeline_inputs WHERE repo = ?',
      next,
    )
    for (const { pipeline } of readers) waiting.push(pipeline)
  }
  return repos.difference(reached)
}
