import type { CreatePipelineRequest, Input, PipelineInput, Transform } from '../../gen/pps_pb.ts'
import type { Duration } from '@bufbuild/protobuf/wkt'
import { InvalidArgumentError } from '../../base/errors.ts'
import type {
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
    input: inputOfRequest(request),
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
    datumTries: Number(request.datumTries),
    datumTimeoutMs: request.datumTimeout && millisOf(request.datumTimeout),
    jobTimeoutMs: request.jobTimeout && millisOf(request.jobTimeout),
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
    secretNames: transform.secrets.map(({ name }) => name),
    imagePullSecrets: transform.imagePullSecrets,
    debug: transform.debug,
    errorCommand: transform.errCmd,
    errorStdinLines: transform.errStdin,
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
  const { atom } = input
  return {
    atom: atom && {
      name: atom.name,
      repo: atom.repo,
      branch: atom.branch,
      glob: atom.glob,
      lazy: atom.lazy,
      fromCommit: atom.fromCommit,
    },
    cross: input.cross.length === 0 ? undefined : input.cross.map(inputOf),
    union: input.union.length === 0 ? undefined : input.union.map(inputOf),
    cron: input.cron !== undefined,
  }
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
