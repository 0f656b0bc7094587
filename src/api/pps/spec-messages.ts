import type { MessageInitShape } from '@bufbuild/protobuf'
import type {
  InputSchema,
  ParallelismSpecSchema,
  ResourceSpecSchema,
  TransformSchema,
} from '../../gen/pps_pb.ts'
import type { Input } from '../../pipelines/inputs.ts'
import type { JobInput } from '../../pipelines/job-records.ts'
import type { PipelineSpec } from '../../pipelines/specs.ts'
import { durationOf } from './durations.ts'

/** What 1.5 runs when a spec names no image; executors that need one take it, too. */
const defaultImage = 'ubuntu:16.04'

/** How often, and how long, the pipeline's code may run. */
export function limitsMessage(spec: PipelineSpec): {
  readonly datumTries: bigint
  readonly datumTimeout?: ReturnType<typeof durationOf>
  readonly jobTimeout?: ReturnType<typeof durationOf>
} {
  const { datumTries = 0, datumTimeoutMs, jobTimeoutMs } = spec
  return {
    datumTries: BigInt(datumTries),
    ...(datumTimeoutMs !== undefined && { datumTimeout: durationOf(datumTimeoutMs) }),
    ...(jobTimeoutMs !== undefined && { jobTimeout: durationOf(jobTimeoutMs) }),
  }
}

export function transformMessage({
  transform,
  imagePullSecrets,
  debug,
  errorCommand,
}: PipelineSpec): MessageInitShape<typeof TransformSchema> {
  return {
    image: transform.image === '' ? defaultImage : transform.image,
    cmd: [...transform.command],
    env: { ...transform.environment },
    stdin: [...transform.stdinLines],
    acceptReturnCode: transform.acceptedReturnCodes.map(BigInt),
    imagePullSecrets: [...imagePullSecrets],
    debug,
    errCmd: [...(errorCommand?.command ?? [])],
    errStdin: [...(errorCommand?.stdinLines ?? [])],
  }
}

/** An input; with `commits`, as a job has it: each atom with the commit that it reads. */
export function inputMessage(
  input: Input,
  commits?: readonly JobInput[],
): MessageInitShape<typeof InputSchema> {
  if (input.kind !== 'atom') {
    const members = input.members.map((member) => inputMessage(member, commits))
    return input.kind === 'cross' ? { cross: members } : { union: members }
  }
  const { name, repo, branch, glob, lazy } = input
  const commit = commits?.find((one) => one.repo === repo)?.commit
  const fromCommit = commits === undefined ? input.fromCommit : undefined
  return {
    atom: { name, repo, branch, glob, lazy, commit: commit ?? '', fromCommit: fromCommit ?? '' },
  }
}

export function parallelismMessage({
  parallelism,
}: PipelineSpec): MessageInitShape<typeof ParallelismSpecSchema> | undefined {
  switch (parallelism.kind) {
    case 'default':
      return undefined
    case 'constant':
      return { constant: BigInt(parallelism.count) }
    case 'coefficient':
      return { coefficient: parallelism.factor }
  }
}

export function resourcesMessage({
  resources,
  cacheSize,
}: PipelineSpec): MessageInitShape<typeof ResourceSpecSchema> {
  if (resources === undefined) return { memory: cacheSize }
  return { cpu: resources.cpu, memory: resources.memory, gpu: BigInt(resources.gpu) }
}
