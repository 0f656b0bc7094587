import type { RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { findPipeline } from '../pipeline-records.ts'
import { statsBranch } from '../specs.ts'
import { lostWriter } from './prospects.ts'

/**
 * Of `repos`, which are all that are made from `source`: those to which no pipeline brings anything of
 * it any more, since on every way there one was deleted, and its repo stayed; and those to which only
 * statistics of what is made from it come, whose commits have no provenance.
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
  const starts = new Set([source])
  for (const repo of repos) {
    if ((await lostWriter(tx, repo)) !== undefined) lost.add(repo)
    // People write to it what they make from the source.
    else if ((await findPipeline(tx, repo)) === undefined) starts.add(repo)
  }
  const ways = await reachedFrom(tx, starts)
  const onlyStats = ways.all.difference(ways.withoutStats)
  return lost.size === 0 ? onlyStats.intersection(repos) : repos.difference(ways.withoutStats)
}

interface Ways {
  readonly all: ReadonlySet<RepoName>
  /** Without those that read the statistics of others only. */
  readonly withoutStats: ReadonlySet<RepoName>
}

/** The repos of pipelines that read some of `starts`, or what comes of them; and `starts`. */
async function reachedFrom(tx: ReadTransaction, starts: ReadonlySet<RepoName>): Promise<Ways> {
  const all = new Set<RepoName>()
  const withoutStats = new Set<RepoName>()
  const waiting = [...starts].map((repo) => ({ repo, isStats: false }))
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { repo, isStats } = next
    const seen = isStats ? all : withoutStats
    if (seen.has(repo)) continue
    all.add(repo)
    seen.add(repo)
    const keepsStats = (await findPipeline(tx, repo))?.spec.enableStats === true
    for (const { pipeline, branch } of await readersOf(tx, repo)) {
      waiting.push({ repo: pipeline, isStats: isStats || (keepsStats && branch === statsBranch) })
    }
  }
  return { all, withoutStats }
}

async function readersOf(
  tx: ReadTransaction,
  repo: RepoName,
): Promise<readonly { readonly pipeline: RepoName; readonly branch: string }[]> {
  return await tx.all<{ readonly pipeline: RepoName; readonly branch: string }>(
    'SELECT DISTINCT pipeline, branch FROM pipeline_inputs WHERE repo = ?',
    repo,
  )
}
