import type { MessageInitShape } from '@bufbuild/protobuf'
import { concatBytes, utf8 } from '../../base/bytes.ts'
import {
  DatumState as DatumStateCode,
  JobState as JobStateCode,
  type DatumInfoSchema,
  type JobInfoSchema,
  type LogMessageSchema,
  type ProcessStatsSchema,
  type WorkerStatusSchema,
} from '../../gen/pps_pb.ts'
import type { FileSchema } from '../../gen/pfs_pb.ts'
import type { WorkerActivity } from '../../pipelines/active-workers.ts'
import type { DatumMember } from '../../pipelines/datums.ts'
import type { JobLogLine } from '../../pipelines/job-logs.ts'
import type { JobRecord } from '../../pipelines/job-records.ts'
import type { ProcessStats } from '../../pipelines/process-stats.ts'
import type { DatumInfo, DatumState } from '../../pipelines/datum-states.ts'
import type { PipelineSpec } from '../../pipelines/specs.ts'
import type { JobState } from '../../pipelines/states.ts'
import { commitMessage, timestampOf } from '../pfs/messages.ts'
import { durationOf } from './durations.ts'
import {
  egressMessage,
  inputMessage,
  limitsMessage,
  parallelismMessage,
  resourcesMessage,
  transformMessage,
} from './spec-messages.ts'

export const jobStateCodes: Readonly<Record<JobState, JobStateCode>> = {
  starting: JobStateCode.JOB_STARTING,
  running: JobStateCode.JOB_RUNNING,
  failure: JobStateCode.JOB_FAILURE,
  success: JobStateCode.JOB_SUCCESS,
  killed: JobStateCode.JOB_KILLED,
}

export const datumStateCodes: Readonly<Record<DatumState, DatumStateCode>> = {
  starting: DatumStateCode.STARTING,
  success: DatumStateCode.SUCCESS,
  skipped: DatumStateCode.SKIPPED,
  failed: DatumStateCode.FAILED,
  recovered: DatumStateCode.RECOVERED,
  stopped: DatumStateCode.STOPPED,
}

/** What is to be told of a job. */
export interface ToldJob {
  readonly job: JobRecord
  /** What it runs; undefined when its pipeline's record is gone. */
  readonly spec: PipelineSpec | undefined
  /** Why it is in its state. */
  readonly reason: string
}

export function jobInfoMessage(
  { job, spec, reason }: ToldJob,
  workers: readonly WorkerActivity[] = [],
): MessageInitShape<typeof JobInfoSchema> {
  const parallelismSpec = spec && parallelismMessage(spec)
  return {
    job: { id: job.id },
    pipeline: { name: job.pipeline },
    pipelineVersion: BigInt(job.pipelineVersion),
    salt: job.salt,
    // 1.5 gives a job its start when it is made; clients sort by it.
    started: timestampOf(job.startedAt ?? job.createdAt),
    state: jobStateCodes[job.state],
    reason,
    restart: BigInt(job.restartCount),
    outputRepo: { name: job.outputRepo },
    outputBranch: job.outputBranch,
    dataTotal: BigInt(job.counts.total),
    dataProcessed: BigInt(job.counts.processed),
    dataSkipped: BigInt(job.counts.skipped),
    dataFailed: BigInt(job.counts.failed),
    dataRecovered: BigInt(job.counts.recovered),
    stats: statsMessage(job.stats),
    workerStatus: workers.map(workerStatusMessage),
    newBranch: {
      name: job.trigger.branch,
      head: commitMessage(job.trigger.repo, job.trigger.commit),
    },
    ...(job.parentJob !== undefined && { parentJob: { id: job.parentJob } }),
    ...(job.finishedAt !== undefined && { finished: timestampOf(job.finishedAt) }),
    ...(job.statsCommit !== undefined && {
      statsCommit: commitMessage(job.outputRepo, job.statsCommit),
    }),
    ...(job.state === 'success' &&
      job.outputCommit !== '' && {
        outputCommit: commitMessage(job.outputRepo, job.outputCommit),
      }),
    ...(spec !== undefined && {
      transform: transformMessage(spec),
      input: inputMessage(spec.input, job.inputs),
      resourceSpec: resourcesMessage(spec),
      enableStats: spec.enableStats,
      batch: spec.batch,
      ...limitsMessage(spec),
      incremental: spec.incremental,
      ...egressMessage(spec),
      ...(spec.service !== undefined && { service: { ...spec.service } }),
    }),
    ...(parallelismSpec !== undefined && { parallelismSpec }),
  }
}

function workerStatusMessage(worker: WorkerActivity): MessageInitShape<typeof WorkerStatusSchema> {
  return {
    workerId: worker.id,
    jobId: worker.job,
    data: worker.members.map(inputFileMessage),
    started: timestampOf(worker.startedAt),
    stats: statsMessage(worker.stats),
    queueSize: BigInt(worker.queueSize),
    attempt: worker.attempt,
    lastReason: worker.lastReason,
    ...(worker.opening !== undefined && {
      opening: worker.opening.what,
      openingSince: timestampOf(worker.opening.since),
    }),
  }
}

export function statsMessage(stats: ProcessStats): MessageInitShape<typeof ProcessStatsSchema> {
  return {
    downloadTime: durationOf(stats.downloadMs),
    processTime: durationOf(stats.processMs),
    uploadTime: durationOf(stats.uploadMs),
    downloadBytes: BigInt(stats.downloadBytes),
    uploadBytes: BigInt(stats.uploadBytes),
  }
}

/**
 * `job`: the job in which the datum is shown.
 */
export function datumInfoMessage(
  datum: DatumInfo,
  job: JobRecord,
): MessageInitShape<typeof DatumInfoSchema> {
  return {
    datum: { id: datum.key, job: { id: datum.job } },
    state: datumStateCodes[datum.state],
    stats: datum.stats === undefined ? {} : statsMessage(datum.stats),
    pfsState: pfsStateMessage(datum, job),
    data: datum.members.map(inputFileMessage),
    reason: datum.reason,
  }
}

/**
 * Clients need every part of it; a commit is there when one of the job has the datum's files, under the
 * name that the datum has here.
 */
function pfsStateMessage(
  { key, state }: DatumInfo,
  job: JobRecord,
): MessageInitShape<typeof FileSchema> {
  if (
    job.statsCommit !== undefined &&
    !job.isImported &&
    state !== 'starting' &&
    state !== 'stopped'
  ) {
    return { commit: commitMessage(job.outputRepo, job.statsCommit), path: `/${key}/pfs` }
  }
  const output = job.state === 'success' ? job.outputCommit : ''
  return { commit: commitMessage(job.outputRepo, output), path: '' }
}

export function inputFileMessage({ path, hash }: DatumMember): {
  readonly path: string
  readonly hash: Uint8Array
} {
  // 1.5 clients print the path; the root is empty there, too.
  return { path, hash }
}

const newline = utf8('\n')

export function logMessage(entry: JobLogLine): MessageInitShape<typeof LogMessageSchema> {
  const { at, bytes, stream, text } = entry.line
  return {
    pipelineName: entry.pipeline,
    jobId: entry.job,
    workerId: entry.worker,
    inputFileId: entry.datum,
    data: entry.members.map(inputFileMessage),
    ts: timestampOf(at),
    // Clients print it as it is: the newline is theirs to expect.
    message: `${text}\n`,
    ...(bytes !== undefined && { rawMessage: concatBytes([bytes, newline]) }),
    stream,
    user: true,
  }
}
