import type { JobId } from '../base/names.ts'
import type { ReadTransaction } from '../database/database.ts'
import { type DatumFailure, type DatumResult, failuresAmong, findMakers } from './datum-results.ts'
import type { DatumRecord } from './datums/datum-sets.ts'
import type { DatumKey, DatumMember } from './datums.ts'
import type { JobRecord } from './job-records.ts'
import type { ProcessStats } from './process-stats.ts'

/**
 * `starting`: waits or runs, or did when the job was ended. `skipped`: another job's result was reused. `recovered`: it failed, and
 * the error command of the pipeline let the job go on without it. `stopped`: it ran when the job was
 * ended.
 */
export type DatumState = 'starting' | 'success' | 'skipped' | 'failed' | 'recovered' | 'stopped'

export interface DatumInfo {
  readonly job: JobId
  readonly key: DatumKey
  readonly members: readonly DatumMember[]
  readonly state: DatumState
  /** Of the run whose result this is; undefined while there is none. */
  readonly stats: ProcessStats | undefined
  /** Why it failed, or was stopped; else empty. */
  readonly reason: string
  /** The job that made its result; undefined while there is none. */
  readonly madeBy: JobId | undefined
}

/** How datums of a job stand, in the order in which they are given; at most a few hundred. */
export async function describeDatums(
  tx: ReadTransaction,
  job: JobRecord,
  datums: readonly DatumRecord[],
): Promise<readonly DatumInfo[]> {
  const keys = datums.map(({ key }) => key)
  const failed = await failuresAmong(tx, job.id, keys)
  const results = await findMakers(tx, keys)
  return datums.map(({ key, members }) => {
    const common = { job: job.id, key, members }
    const failure = failed.get(key)
    if (failure !== undefined) {
      const { stats, reason } = failure
      const state = stateOfFailure(failure)
      return { ...common, state, stats, reason, madeBy: undefined }
    }
    const result = results.get(key)
    if (result === undefined || isOfLater(job, result)) {
      // Of a job that has succeeded, the result is gone because nothing can reuse it any more.
      const state = job.state === 'success' ? 'success' : 'starting'
      return { ...common, state, stats: undefined, reason: '', madeBy: undefined }
    }
    const state = result.job === job.id ? 'success' : 'skipped'
    return { ...common, state, stats: result.stats, reason: '', madeBy: result.job }
  })
}

/** Whether a job that did not succeed ended without the result: another has run the datum since. */
function isOfLater(job: JobRecord, result: Pick<DatumResult, 'job' | 'finishedAt'>): boolean {
  if (job.state === 'success' || job.finishedAt === undefined) return false
  return result.job !== job.id && result.finishedAt > job.finishedAt
}

function stateOfFailure({
  isRecovered,
  isStopped = false,
}: Pick<DatumFailure, 'isRecovered' | 'isStopped'>): DatumState {
  if (isStopped) return 'stopped'
  return isRecovered ? 'recovered' : 'failed'
}
