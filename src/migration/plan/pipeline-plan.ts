import { createHash } from 'node:crypto'
import { create, toJson } from '@bufbuild/protobuf'
import type { Instant } from '../../base/clock.ts'
import { UnimplementedError } from '../../base/errors.ts'
import { shownSource } from '../../base/source-urls.ts'
import {
  type CreatePipelineRequest,
  CreatePipelineRequestSchema,
  PipelineState as OldPipelineState,
  type PipelineInfo,
} from '../../gen/pps_pb.ts'
import { instantOfTime, type OldCatalog, type OldPipeline } from '../../legacy/old-records.ts'
import type { PipelineRecord } from '../../pipelines/pipeline-records.ts'
import type { PipelineSpec } from '../../pipelines/specs.ts'
import type { PipelineState } from '../../pipelines/states.ts'
import type { MigrationRequest } from '../events.ts'
import { type Findings, isDamage } from '../findings.ts'
import type { SpecOf } from '../ports.ts'

export interface PlannedPipeline {
  readonly record: PipelineRecord
  readonly old: OldPipeline
}

const pipelineStates: Readonly<Record<OldPipelineState, PipelineState>> = {
  [OldPipelineState.PIPELINE_STARTING]: 'running',
  [OldPipelineState.PIPELINE_RUNNING]: 'running',
  [OldPipelineState.PIPELINE_RESTARTING]: 'running',
  [OldPipelineState.PIPELINE_FAILURE]: 'failure',
  [OldPipelineState.PIPELINE_PAUSED]: 'paused',
}

/** What pipelines and jobs are planned with. */
export interface PlanPorts {
  readonly specOf: SpecOf
  readonly findings: Findings
  readonly now: Instant
}

export function planPipelines(
  catalog: OldCatalog,
  { keepsPaused }: Pick<MigrationRequest, 'keepsPaused'>,
  ports: PlanPorts & {
    /** Those that come. */
    readonly repos: readonly { readonly name: string }[]
  },
): readonly PlannedPipeline[] {
  const repos = new Set(ports.repos.map(({ name }) => name))
  return catalog.pipelines.flatMap((old) => {
    const how = { keepsPaused, hasOutput: repos.has(old.name) }
    return plannedPipeline(old, how, ports) ?? []
  })
}

function plannedPipeline(
  old: OldPipeline,
  { keepsPaused, hasOutput }: { readonly keepsPaused: boolean; readonly hasOutput: boolean },
  ports: PlanPorts,
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
  { specOf, findings }: PlanPorts,
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

export function isUnimplemented(error: unknown): error is UnimplementedError {
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
