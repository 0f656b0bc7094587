import type { MessageInitShape } from '@bufbuild/protobuf'
import type {
  AtomInputSchema,
  CronInputSchema,
  InputSchema,
  ParallelismSpecSchema,
  ResourceSpecSchema,
  TransformSchema,
} from '../../gen/pps_pb.ts'
import type { AtomInput, CronTicks, Input } from '../../pipelines/inputs.ts'
import type { JobInput } from '../../pipelines/job-records.ts'
import type { PipelineSpec } from '../../pipelines/specs.ts'
import { timestampOf } from '../pfs/messages.ts'
import { triggerMessage } from '../pfs/branch-trigger.ts'
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

/** Where outputs are exported to, if anywhere. */
export function egressMessage({ egressUrl, egressSecret = '' }: PipelineSpec): {
  readonly egress?: { readonly URL: string; readonly secret: string }
} {
  return egressUrl === undefined ? {} : { egress: { URL: egressUrl, secret: egressSecret } }
}

export function transformMessage({
  transform,
  secrets,
  imagePullSecrets,
  debug,
  errorCommand,
}: PipelineSpec): MessageInitShape<typeof TransformSchema> {
  return {
    image: transform.image === '' ? defaultImage : transform.image,
    cmd: [...transform.command],
    env: { ...transform.environment },
    secrets: secrets.map((secret) => ({ ...secret })),
    stdin: [...transform.stdinLines],
    acceptReturnCode: transform.acceptedReturnCodes.map(BigInt),
    imagePullSecrets: [...imagePullSecrets],
    debug,
    errCmd: [...(errorCommand?.command ?? [])],
    errStdin: [...(errorCommand?.stdinLines ?? [])],
    warm: transform.isWarm ?? false,
  }
}

/** An input; with `commits`, as a job has it: each atom with the commit that it reads. */
export function inputMessage(
  input: Input,
  commits?: readonly JobInput[],
): MessageInitShape<typeof InputSchema> {
  if (input.kind === 'atom') {
    return input.cron === undefined
      ? { atom: atomMessage(input, commits) }
      : { cron: cronMessage(input, input.cron, commits) }
  }
  if (input.kind === 'join' || input.kind === 'group') {
    const members = input.members.map((member) => ({
      atom: { ...atomMessage(member, commits), ...matchFields(input.kind, member) },
    }))
    return input.kind === 'join' ? { join: members } : { group: members }
  }
  const members = input.members.map((member) => inputMessage(member, commits))
  return input.kind === 'cross' ? { cross: members } : { union: members }
}

function atomMessage(
  { name, repo, branch: read, glob, lazy, fromCommit, trigger }: AtomInput,
  commits: readonly JobInput[] | undefined,
): MessageInitShape<typeof AtomInputSchema> {
  // As it was written: the branch that is read through a trigger is the pipeline's own affair.
  const branch = trigger?.source ?? read
  const common = {
    name,
    repo,
    branch,
    glob,
    lazy,
    ...(trigger !== undefined && { trigger: triggerMessage(trigger) }),
  }
  if (commits === undefined) return { ...common, fromCommit: fromCommit ?? '' }
  return { ...common, commit: commitOf(repo, commits) }
}

function matchFields(
  kind: 'join' | 'group',
  { matchOn = '', outer }: AtomInput,
): { readonly joinOn: string; readonly outerJoin: boolean } | { readonly groupBy: string } {
  return kind === 'join' ? { joinOn: matchOn, outerJoin: outer === true } : { groupBy: matchOn }
}

function cronMessage(
  { name, repo }: AtomInput,
  { schedule: spec, start, timeZone, missed }: CronTicks,
  commits: readonly JobInput[] | undefined,
): MessageInitShape<typeof CronInputSchema> {
  // What 1.5 does is left out, so that its clients see what they know.
  const missedTicks = missed === 'all' ? '' : missed
  const common = { name, repo, spec, start: timestampOf(start), timeZone, missedTicks }
  return commits === undefined ? common : { ...common, commit: commitOf(repo, commits) }
}

function commitOf(repo: string, commits: readonly JobInput[]): string {
  return commits.find((one) => one.repo === repo)?.commit ?? ''
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
