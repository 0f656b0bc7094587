import { create } from '@bufbuild/protobuf'
import {
  CreatePipelineRequestSchema,
  type CreatePipelineRequest,
  type Input,
  type PipelineInfo,
} from '../../gen/pps_pb.ts'
import { UsageError } from '../errors.ts'
import type { Flags } from '../flags.ts'
import { messageValue } from './message-values.ts'

export type SpecFormat = 'json' | 'yaml'

const jsonIndent = 2
/** Longer texts of YAML are not broken into lines. */
const lineWidth = 0

/** @throws {UsageError} */
export function requestedFormat(flags: Flags): SpecFormat {
  const format = flags.text('output')
  if (format === 'json' || format === 'yaml') return format
  throw new UsageError(`--output ${JSON.stringify(format)} is neither json nor yaml`)
}

/** What 1.5 runs when a spec names no image, and shows then. */
const defaultImage = 'ubuntu:16.04'

/**
 * The spec that makes a pipeline as it is. Some of what is filled in by default is shown; not what
 * would mean something else when it is said.
 */
export async function specFileText(info: PipelineInfo, format: SpecFormat): Promise<string> {
  const value = messageValue(CreatePipelineRequestSchema, specOfInfo(info), 'spec')
  if (format === 'json') return `${JSON.stringify(value, undefined, jsonIndent)}\n`
  const { stringify } = await import('yaml')
  return stringify(value, { lineWidth })
}

function specOfInfo(info: PipelineInfo): CreatePipelineRequest {
  const { pipeline, transform, parallelismSpec, egress, scaleDownThreshold, input, spout } = info
  const { resourceSpec, datumTimeout, jobTimeout } = info
  const spec = create(CreatePipelineRequestSchema, {
    description: info.description,
    outputBranch: info.outputBranch,
    cacheSize: info.cacheSize,
    incremental: info.incremental,
    enableStats: info.enableStats,
    batch: info.batch,
    datumTries: info.datumTries,
    executor: info.executor,
  })
  // Parts that are messages are taken as they are.
  if (pipeline !== undefined) spec.pipeline = pipeline
  if (transform !== undefined) spec.transform = transform
  if (transform?.image === defaultImage) transform.image = ''
  if (parallelismSpec !== undefined) spec.parallelismSpec = parallelismSpec
  if (egress !== undefined) spec.egress = egress
  if (scaleDownThreshold !== undefined) spec.scaleDownThreshold = scaleDownThreshold
  const { cpu, gpu, memory } = resourceSpec ?? { cpu: 0, gpu: 0n, memory: info.cacheSize }
  const isDefault = cpu === 0 && gpu === 0n && memory === info.cacheSize
  if (resourceSpec !== undefined && !isDefault) spec.resourceSpec = resourceSpec
  if (datumTimeout !== undefined) spec.datumTimeout = datumTimeout
  if (jobTimeout !== undefined) spec.jobTimeout = jobTimeout
  if (info.service !== undefined) spec.service = info.service
  if (spout !== undefined) spec.spout = spout
  else if (input !== undefined) spec.input = input
  return spec
}

/** The repos that an input reads. */
export function inputRepos(input: Input | undefined): readonly string[] {
  if (input === undefined) return []
  const { atom, cross, union, join, group, cron } = input
  const own = [atom?.repo, cron?.repo].filter((repo) => repo !== undefined)
  return [...own, ...[...cross, ...union, ...join, ...group].flatMap(inputRepos)]
}
