import type { CommitId } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import type { CommitName } from '../../versioning/ports.ts'
import { type JobRecord, findJob, selectJobs } from '../job-records.ts'

/** Up to so many jobs over a commit are looked at one by one, and not those of the pipeline. */
const fewMax = 200

/**
 * The latest job of a pipeline over all of `commits`, be it that it reads them or what is made from them.
 * Cost: the jobs over the rarest of the commits, however many the pipeline has had. Of commits that all have
 * many jobs over them, as of a repo that others are joined with, the pipeline's latest is over them as a rule.
 */
export async function lastJobOver(
  tx: ReadTransaction,
  pipeline: string,
  commits: readonly CommitName[],
): Promise<JobRecord | undefined> {
  const ids = commits.map(({ id }) => id)
  const few = await fewJobsOver(tx, ids)
  if (few === undefined) return await latestOver(tx, pipeline, ids)
  if (few.length === 0) return undefined
  const rows = await tx.all<{ readonly id: string; readonly pipeline: string }>(
    `SELECT id, pipeline FROM jobs WHERE id IN (${few.map(() => '?').join(', ')}) ${areOver(ids)}
      ORDER BY sequence DESC`,
    ...few,
    ...ids,
  )
  const last = rows.find((row) => row.pipeline === pipeline)
  return last && (await findJob(tx, last.id))
}

/** Those over the first commit with few; undefined when each has many. */
async function fewJobsOver(
  tx: ReadTransaction,
  commits: readonly CommitId[],
): Promise<readonly string[] | undefined> {
  for (const commit of commits) {
    const rows = await tx.all<{ readonly job: string }>(
      `SELECT job FROM job_provenance WHERE commit_id = ? LIMIT ${fewMax + 1}`,
      commit,
    )
    if (rows.length <= fewMax) return rows.map(({ job }) => job)
  }
  return undefined
}

async function latestOver(
  tx: ReadTransaction,
  pipeline: string,
  commits: readonly CommitId[],
): Promise<JobRecord | undefined> {
  const [job] = await selectJobs(
    tx,
    `WHERE pipeline = ? ${areOver(commits)} ORDER BY sequence DESC LIMIT 1`,
    pipeline,
    ...commits,
  )
  return job
}

function areOver(commits: readonly CommitId[]): string {
  return commits
    .map(
      () => 'AND EXISTS (SELECT 1 FROM job_provenance p WHERE p.job = jobs.id AND p.commit_id = ?)',
    )
    .join(' ')
}
