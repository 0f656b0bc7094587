import type { Duration } from '@bufbuild/protobuf/wkt'
import type {
  CreatePipelineRequest,
  CronInput,
  Input,
  PipelineInput,
  Transform,
} from '../../gen/pps_pb.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import { parsePipelineName } from '../../base/names.ts'
import { instantOf } from '../pfs/messages.ts'
import { triggerOfRequest } from '../pfs/branch-trigger.ts'
import { refusedIn } from '../../pipelines/spec-refusals.ts'
import type {
  RequestedCron,
  RequestedInput,
  RequestedSpec,
  RequestedTransform,
} from '../../pipelines/requested-specs.ts'

const millisPerSecond = 1000
const nanosPerMilli = 1_000_000

/** The spec that a request asks for, deprecated spellings brought up to date. Checks no meaning. */
export function specOfRequest(request: CreatePipelineRequest): RequestedSpec {
  const { parallelismSpec: parallelism, resourceSpec: resources } = request
  const threshold = request.scaleDownThreshold
  return {
    name: request.pipeline?.name,
    description: request.description,
    transform: request.transform === undefined ? undefined : transformOf(request.transform),
    parallelism: parallelism && {
      constant: Number(parallelism.constant),
      coefficient: parallelism.coefficient,
    },
    input: namedInputOf(request),
    outputBranch: request.outputBranch,
    resources: resources && {
      cpu: resources.cpu,
      memory: resources.memory,
      gpu: Number(resources.gpu),
    },
    cacheSize: request.cacheSize,
    scaleDownThresholdMs: threshold && millisOf(threshold),
    enableStats: request.enableStats,
    batch: request.batch,
    incremental: request.incremental,
    egressUrl: request.egress?.URL,
    egressSecret: request.egress?.secret,
    datumTries: Number(request.datumTries),
    datumTimeoutMs: request.datumTimeout && millisOf(request.datumTimeout),
    jobTimeoutMs: request.jobTimeout && millisOf(request.jobTimeout),
    spout: request.spout !== undefined,
    executor: request.executor,
    service: request.service && {
      internalPort: request.service.internalPort,
      externalPort: request.service.externalPort,
    },
  }
}

function millisOf({ seconds, nanos }: Duration): number {
  return Number(seconds) * millisPerSecond + nanos / nanosPerMilli
}

function transformOf(transform: Transform): RequestedTransform {
  return {
    image: transform.image,
    command: transform.cmd,
    stdinLines: transform.stdin,
    environment: transform.env,
    acceptedReturnCodes: transform.acceptReturnCode.map(Number),
    secrets: transform.secrets.map(({ name, mountPath, key, envVar }) => ({
      name,
      mountPath,
      ...(key !== '' && { key }),
      ...(envVar !== '' && { envVar }),
    })),
    imagePullSecrets: transform.imagePullSecrets,
    debug: transform.debug,
    isWarm: transform.warm,
    errorCommand: transform.errCmd,
    errorStdinLines: transform.errStdin,
  }
}

function namedInputOf(request: CreatePipelineRequest): RequestedInput | undefined {
  try {
    return inputOfRequest(request)
  } catch (error) {
    throw refusedIn(() => `pipeline ${parsePipelineName(request.pipeline?.name ?? '')}`, error)
  }
}

function inputOfRequest(request: CreatePipelineRequest): RequestedInput | undefined {
  if (request.inputs.length === 0) return request.input && inputOf(request.input)
  if (request.input !== undefined) {
    throw new InvalidArgumentError(
      'cannot set both Inputs and Input field: "inputs" is deprecated, use "input" alone',
    )
  }
  return { cross: request.inputs.map(inputOfDeprecated) }
}

function inputOf(input: Input): RequestedInput {
  const { atom = input.pfs } = input
  if (input.atom !== undefined && input.pfs !== undefined) {
    throw new InvalidArgumentError('multiple input types set: "pfs" is another word for "atom"')
  }
  return {
    atom: atom && {
      name: atom.name,
      repo: atom.repo,
      branch: atom.branch,
      glob: atom.glob,
      lazy: atom.lazy,
      fromCommit: atom.fromCommit,
      joinOn: atom.joinOn,
      outerJoin: atom.outerJoin,
      groupBy: atom.groupBy,
      trigger: atom.trigger && triggerOfRequest(atom.trigger),
    },
    cross: membersOf(input.cross),
    union: membersOf(input.union),
    join: membersOf(input.join),
    group: membersOf(input.group),
    cron: input.cron && cronOf(input.cron),
  }
}

function membersOf(inputs: readonly Input[]): readonly RequestedInput[] | undefined {
  return inputs.length === 0 ? undefined : inputs.map(inputOf)
}

function cronOf(cron: CronInput): RequestedCron {
  const { name, repo, spec, start, timeZone, missedTicks } = cron
  return { name, repo, spec, start: start && instantOf(start), timeZone, missedTicks }
}

function inputOfDeprecated(input: PipelineInput): RequestedInput {
  return {
    atom: {
      name: input.name,
      repo: input.repo?.name ?? '',
      branch: input.branch,
      glob: input.glob,
      lazy: input.lazy,
      fromCommit: input.from?.id ?? '',
    },
  }
}
