import type { CommitId } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import type { CommitName } from '../../versioning/ports.ts'
import { findJob, type JobRecord } from '../job-records.ts'
import { findPipeline, type PipelineRecord } from '../pipeline-records.ts'
import { lastJobOver } from './last-job.ts'

/** Up to so many jobs over a commit are looked at one by one, and not those of the pipeline. */
const fewMax = 200

/**
 * A job of a pipeline over all of `commits` that may still come to an end, whatever others came to that
 * were made after it; undefined when there is none, or the pipeline has failed and so runs none.
 * Cost: as of `lastJobOver`; where each commit has many jobs over it, those of the pipeline that have not ended.
 */
export async function openJobOver(
  tx: ReadTransaction,
  { pipelineId, state }: PipelineRecord,
  commits: readonly CommitName[],
): Promise<JobRecord | undefined> {
  if (state === 'failure' || commits.length === 0) return undefined
  const ids = commits.map(({ id }) => id)
  const few = await fewJobsOver(tx, ids)
  // What is computed has no index: it goes by the jobs, which are few.
  const among =
    few === undefined
      ? "pipeline_id = ? AND state IN ('starting', 'running')"
      : `id IN (${few.map(() => '?').join(', ')})
        AND pipeline_id || '' = ? AND state || '' IN ('starting', 'running')`
  const areOver = ids.map(
    () => 'AND EXISTS (SELECT 1 FROM job_provenance p WHERE p.job = jobs.id AND p.commit_id = ?)',
  )
  const found = await tx.get<{ readonly id: string }>(
    `SELECT id FROM jobs WHERE ${among} ${areOver.join(' ')}
      AND NOT EXISTS (SELECT 1 FROM killed_jobs k
        WHERE k.pipeline_id = jobs.pipeline_id AND k.sequence >= jobs.sequence) LIMIT 1`,
    ...(few ?? []),
    pipelineId,
    ...ids,
  )
  return found && (await findJob(tx, found.id))
}

/** As `lastJobOver`, without jobs of pipelines that had the name before: what those came to says nothing. */
export async function lastOwnJobOver(
  tx: ReadTransaction,
  name: string,
  commits: readonly CommitName[],
): Promise<JobRecord | undefined> {
  if (commits.length === 0) return undefined
  const job = await lastJobOver(tx, name, commits)
  const pipeline = job && (await findPipeline(tx, name))
  return pipeline === undefined || pipeline.pipelineId === job?.pipelineId ? job : undefined
}

/** Those over the first commit with few; undefined when each has many. */
async function fewJobsOver(
  tx: ReadTransaction,
  commits: readonly CommitId[],
): Promise<readonly string[] | undefined> {
  for (const commit of commits) {
    const rows = await tx.all<{ readonly job: string }>(
      'SELECT job FROM job_provenance WHERE commit_id = ? LIMIT ?',
      commit,
      fewMax + 1,
    )
    if (rows.length <= fewMax) return rows.map(({ job }) => job)
  }
  return undefined
}
