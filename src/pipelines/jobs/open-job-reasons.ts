import type { JobId } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import type { JobRecord } from '../job-records.ts'
import type { JobSteps } from '../job-steps.ts'
import { findPipeline, type PipelineRecord } from '../pipeline-records.ts'
import { hasEnded } from '../states.ts'

/**
 * Why each of `jobs` is in its state, for people: what was noted and, of those that have not ended,
 * what keeps them from going on, or what their run is at.
 */
export async function reasonsOf(
  tx: ReadTransaction,
  jobs: readonly JobRecord[],
  steps: Pick<JobSteps, 'of'>,
): Promise<ReadonlyMap<JobId, string>> {
  const reasons = new Map(jobs.map(({ id, reason }) => [id, reason]))
  const pipelines = new Map<string, PipelineRecord | undefined>()
  for (const job of jobs.filter(({ state }) => !hasEnded(state))) {
    const { id, pipeline: name, pipelineId, reason } = job
    if (!pipelines.has(name)) pipelines.set(name, await findPipeline(tx, name))
    const pipeline = pipelines.get(name)
    const standstill = pipeline?.pipelineId === pipelineId && standstillOf(pipeline, job)
    reasons.set(id, standstill || reason || steps.of(id))
  }
  return reasons
}

/** Empty while the pipeline runs its jobs. */
function standstillOf(
  { name, state, recentError }: PipelineRecord,
  job: Pick<JobRecord, 'state'>,
): string {
  if (state === 'running') return ''
  if (state === 'failure') return `pipeline ${name} cannot run: ${recentError}`
  const does = job.state === 'starting' ? 'begins' : 'goes on'
  return `pipeline ${name} is stopped; the job ${does} after "pachctl start-pipeline ${name}"`
}
