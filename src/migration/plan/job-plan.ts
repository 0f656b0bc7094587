import { create } from '@bufbuild/protobuf'
import type { Duration } from '@bufbuild/protobuf/wkt'
import type { Instant } from '../../base/clock.ts'
import {
  type CommitId,
  isCommitId,
  type JobId,
  type PipelineName,
  type RepoName,
} from '../../base/names.ts'
import {
  CreatePipelineRequestSchema,
  JobState as OldJobState,
  type JobInfo,
} from '../../gen/pps_pb.ts'
import {
  inputCommits,
  instantOfTime,
  type OldCatalog,
  type OldJob,
} from '../../legacy/old-records.ts'
import { inputBranches } from '../../pipelines/imports.ts'
import type { JobInput } from '../../pipelines/job-records.ts'
import { noStats, type ProcessStats } from '../../pipelines/process-stats.ts'
import type { PipelineSpec } from '../../pipelines/specs.ts'
import { hasEnded, type JobState } from '../../pipelines/states.ts'
import type { MigrationRequest } from '../events.ts'
import { type Findings, isDamage } from '../findings.ts'
import { isUnimplemented, madeUp, type PlannedPipeline, type PlanPorts } from './pipeline-plan.ts'

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
  /** Also undefined where it has ended, and nothing says when. */
  readonly finishedAt: Instant | undefined
  readonly statsCommit: CommitId | undefined
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

export function planJobs(
  catalog: OldCatalog,
  pipelines: readonly PlannedPipeline[],
  { unfinishedJobs }: Pick<MigrationRequest, 'unfinishedJobs'>,
  ports: PlanPorts,
): readonly PlannedJob[] {
  const byName = new Map(pipelines.map((pipeline) => [pipeline.old.name, pipeline]))
  const specs = new Map<string, PipelineSpec | undefined>()
  const jobs = catalog.jobs.flatMap(
    (old) => plannedJob(old, byName.get(old.pipeline), unfinishedJobs, specs, ports) ?? [],
  )
  tellUnknownEnds(jobs, ports.findings)
  tellLostStatistics(jobs, catalog, ports.findings)
  return jobs.toSorted((left, right) => left.createdAt - right.createdAt)
}

function plannedJob(
  old: OldJob,
  pipeline: PlannedPipeline | undefined,
  unfinished: MigrationRequest['unfinishedJobs'],
  specs: Map<string, PipelineSpec | undefined>,
  ports: PlanPorts,
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
    finishedAt: state === 'starting' ? undefined : instantOfTime(info.finished),
    statsCommit: info.statsCommit?.id as CommitId | undefined,
  }
}

/** Those that were stopped by hand have no end there, and none is made up. */
function tellUnknownEnds(jobs: readonly PlannedJob[], findings: Findings): void {
  const endless = jobs.filter(
    ({ state, finishedAt }) => hasEnded(state) && finishedAt === undefined,
  )
  const [first] = endless
  if (first === undefined) return
  findings.notice(
    `job ${first.id} of pipeline ${first.pipeline}${othersText(endless.length)} ended, and the old cluster does not say when: no end is shown here either`,
  )
}

/** Statistics that were deleted there. */
function tellLostStatistics(
  jobs: readonly PlannedJob[],
  { commits }: OldCatalog,
  findings: Findings,
): void {
  const wanted = new Set(jobs.flatMap(({ statsCommit }) => statsCommit ?? []))
  for (const { id } of commits) wanted.delete(id as CommitId)
  const lost = jobs.filter(
    ({ statsCommit }) => statsCommit !== undefined && wanted.has(statsCommit),
  )
  const [first] = lost
  if (first === undefined) return
  findings.notice(
    `the commit ${first.statsCommit} with the statistics of job ${first.id}${othersText(lost.length)} is not there any more: that is left out`,
  )
}

/** Behind the first of `count`. */
export function othersText(count: number): string {
  return count === 1 ? '' : ` and ${count - 1} more`
}

/** What it ran; undefined where that could not run here, so that only its record says it. */
function specOfJob(info: JobInfo, { specOf, now }: PlanPorts): PipelineSpec | undefined {
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
