import type { ReadTransaction } from '../../database/database.ts'
import type { CommitName } from '../../versioning/ports.ts'
import { type JobRecord, selectJobs } from '../job-records.ts'

/** The latest job of a pipeline over all of `commits`, be it that it reads them or what is made from them. */
export async function lastJobOver(
  tx: ReadTransaction,
  pipeline: string,
  commits: readonly CommitName[],
): Promise<JobRecord | undefined> {
  const over = commits.map(
    () => 'AND EXISTS (SELECT 1 FROM job_provenance p WHERE p.job = jobs.id AND p.commit_id = ?)',
  )
  const [job] = await selectJobs(
    tx,
    `WHERE pipeline = ? ${over.join(' ')} ORDER BY sequence DESC LIMIT 1`,
    pipeline,
    ...commits.map(({ id }) => id),
  )
  return job
}
