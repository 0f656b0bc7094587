import type { RepoName } from '../base/names.ts'
import type { ReadTransaction } from '../database/database.ts'
import type { CommitName, Downstream, DownstreamState } from '../versioning/ports.ts'
import { jobTopic, selectJobs } from './job-records.ts'
import { findPipeline, pipelineTopic } from './pipeline-records.ts'
import { branchesOf } from './inputs.ts'

/** Pipelines are followed upstream at most this far; a longer chain is taken as still pending. */
const chainLengthMax = 1000

/**
 * Tells flush whether a commit can still come to the output repo of a pipeline.
 *
 * It cannot when the pipeline's latest job over the given commits failed or was stopped, or when
 * the same holds for a pipeline upstream of it. A job that has not been made yet, or whose pipeline
 * is paused, may still come.
 */
export class JobDownstream implements Downstream {
  readonly topics: readonly string[] = [jobTopic, pipelineTopic]

  async state(
    tx: ReadTransaction,
    commits: readonly CommitName[],
    repo: RepoName,
  ): Promise<DownstreamState> {
    const seen = new Set<string>()
    const waiting: string[] = [repo]
    while (waiting.length > 0 && seen.size < chainLengthMax) {
      const name = waiting.pop()
      if (name === undefined || seen.has(name)) continue
      seen.add(name)
      const reason = await failureOf(tx, name, commits)
      if (reason !== undefined) return { kind: 'failed', reason }
      const pipeline = await findPipeline(tx, name)
      if (pipeline === undefined) continue
      for (const atom of branchesOf(pipeline.spec.input)) waiting.push(atom.repo)
    }
    return { kind: 'pending' }
  }
}

async function failureOf(
  tx: ReadTransaction,
  pipeline: string,
  commits: readonly CommitName[],
): Promise<string | undefined> {
  const over = commits.map(
    () => 'AND EXISTS (SELECT 1 FROM job_provenance p WHERE p.job = jobs.id AND p.commit_id = ?)',
  )
  const [job] = await selectJobs(
    tx,
    `WHERE pipeline = ? ${over.join(' ')} ORDER BY sequence DESC LIMIT 1`,
    pipeline,
    ...commits.map(({ id }) => id),
  )
  if (job === undefined || (job.state !== 'failure' && job.state !== 'killed')) return undefined
  const what = job.state === 'killed' ? 'was stopped' : 'failed'
  const why = job.reason === '' ? '' : `: ${job.reason}`
  return `job ${job.id} of pipeline ${pipeline} ${what}${why}`
}
