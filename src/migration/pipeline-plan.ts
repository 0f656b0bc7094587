import { createHash } from 'node:crypto'
import { create, toJson } from '@bufbuild/protobuf'
import type { Duration } from '@bufbuild/protobuf/wkt'
import type { Instant } from '../base/clock.ts'
import { UnimplementedError } from '../base/errors.ts'
import { shownSource } from '../base/source-urls.ts'
import { isCommitId, type JobId, type PipelineName, type RepoName } from '../base/names.ts'
import {
  type CreatePipelineRequest,
  CreatePipelineRequestSchema,
  JobState as OldJobState,
  PipelineState as OldPipelineState,
  type JobInfo,
  type PipelineInfo,
} from '../gen/pps_pb.ts'
import {
  inputCommits,
  instantOfTime,
  type OldCatalog,
  type OldJob,
  type OldPipeline,
} from '../legacy/old-records.ts'
import { inputBranches } from '../pipelines/imports.ts'
import { type JobInput } from '../pipelines/job-records.ts'
import { noStats, type ProcessStats } from '../pipelines/process-stats.ts'
import type { PipelineRecord } from '../pipelines/pipeline-records.ts'
import type { PipelineSpec } from '../pipelines/specs.ts'
import type { JobState, PipelineState } from '../pipelines/states.ts'
import type { MigrationRequest } from './events.ts'
import { type Findings, isDamage } from './findings.ts'

/** Makes a spec of what a client would send for it. @throws {DomainError} for one that cannot run here. */
export type SpecOf = (request: CreatePipelineRequest, now: Instant) => PipelineSpec

export interface PlannedPipeline {
  readonly record: PipelineRecord
  readonly old: OldPipeline
}

export interface PlannedJob {
  readonly id: JobId
  readonly old: OldJob
  readonly pipeline: PipelineName
  readonly pipelineId: string
  readonly version: number
  readonly salt: string
  /** Undefined where it is not one that could run here. */
  readonly spec: PipelineSpec | undefined
  readonly inputs: readonly JobInput[]
  readonly state: JobState
  readonly reason: string
  readonly createdAt: Instant
  readonly finishedAt: Instant | undefined
}

export interface PipelinePlan {
  readonly pipelines: readonly PlannedPipeline[]
  /** In the order of their starts. */
  readonly jobs: readonly PlannedJob[]
}

const jobStates: Readonly<Record<OldJobState, JobState>> = {
  [OldJobState.JOB_STARTING]: 'starting',
  [OldJobState.JOB_RUNNING]: 'starting',
  [OldJobState.JOB_SUCCESS]: 'success',
  [OldJobState.JOB_FAILURE]: 'failure',
  [OldJobState.JOB_KILLED]: 'killed',
}

const pipelineStates: Readonly<Record<OldPipelineState, PipelineState>> = {
  [OldPipelineState.PIPELINE_STARTING]: 'running',
  [OldPipelineState.PIPELINE_RUNNING]: 'running',
  [OldPipelineState.PIPELINE_RESTARTING]: 'running',
  [OldPipelineState.PIPELINE_FAILURE]: 'failure',
  [OldPipelineState.PIPELINE_PAUSED]: 'paused',
}

export function planPipelines(
  catalog: OldCatalog,
  request: Pick<MigrationRequest, 'keepsPaused' | 'unfinishedJobs'>,
  ports: {
    readonly specOf: SpecOf
    readonly findings: Findings
    readonly now: Instant
    /** Those that come. */
    readonly repos: readonly { readonly name: string }[]
  },
): PipelinePlan {
  const repos = new Set(ports.repos.map(({ name }) => name))
  const pipelines: PlannedPipeline[] = []
  for (const old of catalog.pipelines) {
    const planned = plannedPipeline(
      old,
      { keepsPaused: request.keepsPaused, hasOutput: repos.has(old.name) },
      ports,
    )
    if (planned !== undefined) pipelines.push(planned)
  }
  const byName = new Map(pipelines.map((pipeline) => [pipeline.old.name, pipeline]))
  const specs = new Map<string, PipelineSpec | undefined>()
  const jobs: PlannedJob[] = []
  for (const old of catalog.jobs) {
    const job = plannedJob(old, byName.get(old.pipeline), request.unfinishedJobs, specs, ports)
    if (job !== undefined) jobs.push(job)
  }
  return {
    pipelines,
    jobs: jobs.toSorted((left, right) => left.createdAt - right.createdAt),
  }
}

function plannedPipeline(
  old: OldPipeline,
  { keepsPaused, hasOutput }: { readonly keepsPaused: boolean; readonly hasOutput: boolean },
  ports: Parameters<typeof planPipelines>[2],
): PlannedPipeline | undefined {
  const { info, name } = old
  const createdAt = instantOfTime(info.createdAt) ?? ports.now
  const spec = specOfInfo(info, name, createdAt, ports)
  if (spec === undefined) return undefined
  if (!hasOutput) {
    leaveOut(info, 'its output repo is not there', ports.findings)
    return undefined
  }
  const then = pipelineStates[info.state] ?? 'paused'
  const pipelineId = info.id === '' ? madeUp('pipeline', name, info.salt) : info.id
  const record: PipelineRecord = {
    name: spec.name,
    pipelineId,
    lineageId: pipelineId,
    version: Math.max(1, Number(info.version)),
    salt: info.salt === '' ? madeUpSalt(info) : info.salt,
    state: keepsPaused || hasEgress(info) ? 'paused' : then,
    recentError: then === 'failure' && !keepsPaused ? info.recentError : '',
    createdAt,
    spec,
  }
  return { record, old }
}

function hasEgress({ egress }: Pick<PipelineInfo, 'egress'>): boolean {
  return egress !== undefined && egress.URL !== ''
}

function specOfInfo(
  info: PipelineInfo,
  name: string,
  createdAt: Instant,
  { specOf, findings }: Parameters<typeof planPipelines>[2],
): PipelineSpec | undefined {
  if (hasEgress(info)) {
    const target = shownSource(info.egress?.URL ?? '')
    const spec = specWithEgress(info, createdAt, specOf)
    if (spec !== undefined) {
      findings.notice(
        `pipeline ${name} copies its output to ${target}: it comes paused; start it once pachd has the credentials, and nobody else writes there`,
      )
      return spec
    }
    findings.notice(
      `pipeline ${name} copied its output to ${target}, where this server cannot write as the URL is: it comes paused, and without that`,
    )
  }
  const request = requestOf({ ...info, egress: undefined })
  try {
    return specOf(request, createdAt)
  } catch (error) {
    if (!isDamage(error) && !isUnimplemented(error)) throw error
    leaveOut(info, `it cannot run here: ${error.message}`, findings)
    return undefined
  }
}

function leaveOut(info: PipelineInfo, reason: string, findings: Findings): void {
  const name = info.pipeline?.name ?? ''
  findings.damage('pipeline', name, reason)
  const spec = JSON.stringify(
    toJson(CreatePipelineRequestSchema, requestOf({ ...info, egress: undefined })),
  )
  findings.notice(
    `to make pipeline ${name} in another way once all has come, its spec was: ${spec}`,
  )
}

/** Undefined where it has to be made without. */
function specWithEgress(
  info: PipelineInfo,
  createdAt: Instant,
  specOf: SpecOf,
): PipelineSpec | undefined {
  try {
    return specOf(requestOf({ ...info, egress: info.egress }), createdAt)
  } catch (error) {
    if (isDamage(error) || isUnimplemented(error)) return undefined
    throw error
  }
}

function isUnimplemented(error: unknown): error is UnimplementedError {
  return error instanceof UnimplementedError
}

/** What a client would have sent for it. */
function requestOf(
  info: Omit<PipelineInfo, 'egress'> & { readonly egress: PipelineInfo['egress'] },
): CreatePipelineRequest {
  const { pipeline, transform, parallelismSpec, input, resourceSpec, scaleDownThreshold } = info
  return create(CreatePipelineRequestSchema, {
    ...(pipeline !== undefined && { pipeline }),
    ...(transform !== undefined && { transform }),
    ...(parallelismSpec !== undefined && { parallelismSpec }),
    ...(input !== undefined && { input }),
    // Some records have both, which say the same.
    ...(input === undefined && { inputs: info.inputs }),
    ...(resourceSpec !== undefined && { resourceSpec }),
    ...(scaleDownThreshold !== undefined && { scaleDownThreshold }),
    ...(info.egress !== undefined && { egress: info.egress }),
    outputBranch: info.outputBranch,
    description: info.description,
    incremental: info.incremental,
    cacheSize: info.cacheSize,
    enableStats: info.enableStats,
    batch: info.batch,
  })
}

/** Of 1.4, which had none: the same whenever the pipeline is imported. */
function madeUpSalt({ id, pipeline, version }: PipelineInfo): string {
  const hex = madeUp('salt', `${id} ${pipeline?.name}`, String(version))
  return [8, 12, 16, 20, 32]
    .map((end, index) => hex.slice([0, 8, 12, 16, 20][index], end))
    .join('-')
}

/** An id that the old cluster has not, the same whenever it is asked for: 32 hex digits. */
export function madeUp(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)
}

function plannedJob(
  old: OldJob,
  pipeline: PlannedPipeline | undefined,
  unfinished: MigrationRequest['unfinishedJobs'],
  specs: Map<string, PipelineSpec | undefined>,
  ports: Parameters<typeof planPipelines>[2],
): PlannedJob | undefined {
  const { info } = old
  const version = Math.max(1, Number(info.pipelineVersion))
  const isOfPipeline =
    pipeline !== undefined && (old.pipelineId === '' || old.pipelineId === pipeline.old.info.id)
  const pipelineId = isOfPipeline
    ? pipeline.record.pipelineId
    : old.pipelineId || madeUp('pipeline', old.pipeline, info.salt)
  const key = `${pipelineId} ${version}`
  const isCurrent = isOfPipeline && version === pipeline.record.version
  if (!specs.has(key)) {
    specs.set(key, isCurrent ? pipeline.record.spec : specOfJob(info, ports))
  }
  const spec = specs.get(key)
  const inputs = inputsOf(info, spec)
  if (inputs.length === 0) {
    ports.findings.damage('job', old.id, 'it does not say which commits it read')
    return undefined
  }
  const state = jobStates[info.state] ?? 'killed'
  // Only what is the current version of a pipeline can be run.
  const isKilled = state === 'starting' && (unfinished === 'kill' || !isCurrent)
  const createdAt = instantOfTime(info.started) ?? 0
  const reason = isKilled ? 'it had not ended in the cluster that was migrated' : info.reason
  return {
    id: old.id as JobId,
    old,
    pipeline: old.pipeline as PipelineName,
    pipelineId,
    version,
    salt: info.salt !== '' ? info.salt : isCurrent ? pipeline.record.salt : `version ${version}`,
    spec,
    inputs,
    state: isKilled ? 'killed' : state,
    reason,
    createdAt,
    finishedAt: isKilled ? ports.now : endOf(info, state, createdAt),
  }
}

/** Jobs that were stopped by hand have no end there. */
function endOf(info: JobInfo, state: JobState, createdAt: Instant): Instant | undefined {
  return state === 'starting' ? undefined : (instantOfTime(info.finished) ?? createdAt)
}

/** What it ran; undefined where that could not run here, so that only its record says it. */
function specOfJob(
  info: JobInfo,
  { specOf, now }: Parameters<typeof planPipelines>[2],
): PipelineSpec | undefined {
  const { pipeline, transform, parallelismSpec, input, resourceSpec } = info
  try {
    return specOf(
      create(CreatePipelineRequestSchema, {
        ...(pipeline !== undefined && { pipeline }),
        ...(transform !== undefined && { transform }),
        ...(parallelismSpec !== undefined && { parallelismSpec }),
        ...(input !== undefined && { input }),
        ...(resourceSpec !== undefined && { resourceSpec }),
        ...(input === undefined && {
          inputs: info.inputs.map(({ commit, glob, lazy, name }) => ({
            ...(commit?.repo !== undefined && { repo: commit.repo }),
            branch: 'master',
            glob,
            lazy,
            name,
          })),
        }),
        outputBranch: info.outputBranch,
        incremental: info.incremental,
        enableStats: info.enableStats,
        batch: info.batch,
      }),
      now,
    )
  } catch (error) {
    if (isDamage(error) || isUnimplemented(error)) return undefined
    throw error
  }
}

function inputsOf(info: JobInfo, spec: PipelineSpec | undefined): readonly JobInput[] {
  const commits = inputCommits(info)
  const branches = new Map(
    spec === undefined
      ? []
      : inputBranches(spec.input).map(({ repo, branch }) => [String(repo), branch]),
  )
  const repos = spec === undefined ? [...commits.keys()] : [...branches.keys()]
  return repos.flatMap((repo) => {
    const commit = commits.get(repo)
    if (commit === undefined || !isCommitId(commit)) return []
    const branch = (branches.get(repo) ?? 'master') as JobInput['branch']
    return [{ repo: repo as RepoName, branch, commit }]
  })
}

const msPerSecond = 1000
const nanosPerMs = 1_000_000

function msOf(time: Duration | undefined): number {
  if (time === undefined) return 0
  return Math.round(Number(time.seconds) * msPerSecond + time.nanos / nanosPerMs)
}

export function statsOfJob({ stats }: Pick<JobInfo, 'stats'>): ProcessStats {
  if (stats === undefined) return noStats
  return {
    downloadMs: msOf(stats.downloadTime),
    processMs: msOf(stats.processTime),
    uploadMs: msOf(stats.uploadTime),
    downloadBytes: Number(stats.downloadBytes),
    uploadBytes: Number(stats.uploadBytes),
  }
}
