import type { Instant } from '../../base/clock.ts'
import { InvalidArgumentError, NotFoundError } from '../../base/errors.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { hasFiles } from '../datums/datum-filters.ts'
import type { KeptLine } from '../datum-logs.ts'
import type { DatumKey, DatumMember } from '../datums.ts'
import { isNotDeleted } from '../deleted-jobs.ts'
import { getJob, type JobRecord } from '../job-records.ts'
import { PipelineNotFoundError } from '../pipeline-records.ts'
import type { LoggedRun } from './running-logs.ts'

/** What is wanted: all that is given must fit. A job, a pipeline or a datum must be given. */
export interface LogFilter {
  readonly job?: string | undefined
  readonly pipeline?: string | undefined
  /** Of jobs of this version of the pipeline. */
  readonly version?: number | undefined
  readonly datum?: string | undefined
  /** Each must be a path, or a hash in hex or base64, of some member of the datum. */
  readonly data: readonly string[]
  readonly worker?: string | undefined
  /** Lines of then or later. */
  readonly since?: Instant | undefined
  /** Lines that hold this text. */
  readonly text?: string | undefined
  /** Of one job: also what earlier jobs logged of the datums that it skipped. */
  readonly withSkipped?: boolean | undefined
}

/** Where lines are looked for. */
export interface LogScope {
  readonly filter: LogFilter
  readonly job: JobRecord | undefined
}

/**
 * @throws {InvalidArgumentError} when neither job, pipeline nor datum is given.
 * @throws {NotFoundError}
 */
export async function findLogScope(
  tx: ReadTransaction,
  filter: LogFilter,
  running: readonly LoggedRun[],
): Promise<LogScope> {
  const { job, pipeline, datum } = filter
  if (job !== undefined) return { filter, job: await getJob(tx, job) }
  if (pipeline !== undefined) {
    const found = await tx.get(
      `SELECT name FROM pipelines WHERE name = ?
        UNION ALL SELECT pipeline AS name FROM jobs WHERE pipeline = ? LIMIT 1`,
      pipeline,
      pipeline,
    )
    if (found === undefined) throw new PipelineNotFoundError(pipeline)
    return { filter, job: undefined }
  }
  if (datum === undefined) {
    throw new InvalidArgumentError(
      'must set either pipeline or job filter (or both) in call to GetLogs; or a datum',
    )
  }
  const found = await tx.get(
    `SELECT datum FROM datum_results WHERE datum = ? AND ${isNotDeleted}
      UNION ALL SELECT datum FROM datum_failures WHERE datum = ? AND ${isNotDeleted} LIMIT 1`,
    datum,
    datum,
  )
  if (found === undefined && !running.some((run) => run.datum === (datum as DatumKey))) {
    throw new NotFoundError(`datum ${datum} not found: no job has run it`)
  }
  return { filter, job: undefined }
}

/** Whether a job is one whose logs are wanted. */
export function isInScope(
  { filter, job: wanted }: LogScope,
  job: Pick<LoggedRun, 'job' | 'pipeline' | 'pipelineVersion'>,
): boolean {
  if (wanted !== undefined && wanted.id !== job.job) return false
  if ((filter.pipeline ?? job.pipeline) !== String(job.pipeline)) return false
  return (filter.version ?? job.pipelineVersion) === job.pipelineVersion
}

/** Whether a datum is one whose logs are wanted. */
export function isWanted(
  { data, datum: wanted }: LogFilter,
  run: { readonly datum: DatumKey; readonly members: readonly DatumMember[] },
): boolean {
  return (wanted ?? run.datum) === String(run.datum) && hasFiles(run.members, data)
}

export function isWantedLine({ since = 0, text = '' }: LogFilter, line: KeptLine): boolean {
  return line.at >= since && line.text.includes(text)
}
