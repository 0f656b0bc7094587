import type { CommitId } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import type { CommitName } from '../../versioning/ports.ts'
import { findJob, type JobRecord } from '../job-records.ts'
import { findPipeline, type PipelineRecord } from '../pipeline-records.ts'
import { hasEnded, type JobState, unendedStates } from '../states.ts'

/** Up to so many jobs over a commit are looked at one by one, and not those of the pipeline. */
const fewMax = 200

/**
 * The latest job of a pipeline over all of `commits`, be it that it reads them or what is made from them; not one
 * of a pipeline that had the name before. Cost: the jobs over the rarest of the commits, however many the pipeline
 * has had. Of commits that all have many jobs over them, as of a repo that others are joined with, the pipeline's
 * latest is over them as a rule.
 */
export async function lastJobOver(
  tx: ReadTransaction,
  name: string,
  commits: readonly CommitName[],
): Promise<JobRecord | undefined> {
  if (commits.length === 0) return undefined
  const ids = commits.map(({ id }) => id)
  const few = await fewJobsOver(tx, ids)
  const last = few?.find(({ pipeline }) => pipeline === name)
  const id = few === undefined ? await latestOver(tx, name, ids) : last?.id
  const job = id === undefined ? undefined : await findJob(tx, id)
  const pipeline = job && (await findPipeline(tx, name))
  return pipeline === undefined || pipeline.pipelineId === job?.pipelineId ? job : undefined
}

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
  const found =
    few === undefined
      ? await openOver(tx, pipelineId, ids)
      : few.filter((job) => job.pipeline_id === pipelineId && !hasEnded(job.state))
  const killed = await tx.get<{ readonly sequence: number }>(
    'SELECT sequence FROM killed_jobs WHERE pipeline_id = ?',
    pipelineId,
  )
  const open = found.find(({ sequence }) => killed === undefined || sequence > killed.sequence)
  return open && (await findJob(tx, open.id))
}

/**
 * Whether a pipeline has a job over a commit, or any, whose end is not recorded yet: it may be as good as
 * killed. Until that is said of it, nobody can tell what has become of it.
 */
export async function hasUnended(
  tx: ReadTransaction,
  { pipelineId }: PipelineRecord,
  over: CommitName | undefined,
): Promise<boolean> {
  const unended = `SELECT id FROM jobs WHERE pipeline_id = ? AND state IN ${unendedStates}`
  const isOver = 'id IN (SELECT job FROM job_provenance WHERE commit_id = ?)'
  const job =
    over === undefined
      ? await tx.get(`${unended} LIMIT 1`, pipelineId)
      : await tx.get(`${unended} AND ${isOver} LIMIT 1`, pipelineId, over.id)
  return job !== undefined
}

type JobOver = {
  readonly id: string
  readonly pipeline: string
  readonly pipeline_id: string
  readonly state: JobState
  readonly sequence: number
}
const columns = 'id, pipeline, pipeline_id, state, sequence'

/** The jobs of all pipelines over all of the commits, the latest first; undefined when each has many. */
async function fewJobsOver(
  tx: ReadTransaction,
  commits: readonly CommitId[],
): Promise<readonly JobOver[] | undefined> {
  for (const commit of commits) {
    const rows = await tx.all<{ readonly job: string }>(
      'SELECT job FROM job_provenance WHERE commit_id = ? LIMIT ?',
      commit,
      fewMax + 1,
    )
    if (rows.length === 0) return []
    if (rows.length > fewMax) continue
    return await tx.all<JobOver>(
      `SELECT ${columns} FROM jobs WHERE id IN (${rows.map(() => '?').join(', ')}) ${areOver(commits)}
        ORDER BY sequence DESC`,
      ...rows.map(({ job }) => job),
      ...commits,
    )
  }
  return undefined
}

async function latestOver(
  tx: ReadTransaction,
  pipeline: string,
  commits: readonly CommitId[],
): Promise<string | undefined> {
  const row = await tx.get<{ readonly id: string }>(
    `SELECT id FROM jobs WHERE pipeline = ? ${areOver(commits)} ORDER BY sequence DESC LIMIT 1`,
    pipeline,
    ...commits,
  )
  return row?.id
}

async function openOver(
  tx: ReadTransaction,
  pipelineId: string,
  commits: readonly CommitId[],
): Promise<readonly JobOver[]> {
  return await tx.all<JobOver>(
    `SELECT ${columns} FROM jobs
      WHERE pipeline_id = ? AND state IN ${unendedStates} ${areOver(commits)}
      ORDER BY sequence DESC LIMIT 1`,
    pipelineId,
    ...commits,
  )
}

function areOver(commits: readonly CommitId[]): string {
  return commits
    .map(
      () => 'AND EXISTS (SELECT 1 FROM job_provenance p WHERE p.job = jobs.id AND p.commit_id = ?)',
    )
    .join(' ')
}
