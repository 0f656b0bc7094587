import type { Instant } from '../base/clock.ts'
import { InvalidArgumentError } from '../base/errors.ts'
import { checkShortText } from '../base/short-texts.ts'
import { parseBranchName, parsePipelineName } from '../base/names.ts'
import type { BranchName, PipelineName } from '../base/names.ts'
import { type ExecutorName, executorNames, type Transform } from './executor.ts'
import { matchingInputs } from './discovery/match-index.ts'
import { checkEgress, checkEgressSecret } from './specs/egress-check.ts'
import { checkService, type ServicePorts } from './specs/service-check.ts'
import { checkErrorCommand, type ErrorHandling } from './specs/error-command.ts'
import { checkInput } from './specs/input-check.ts'
import { refusedIn } from './spec-refusals.ts'
import { checkLimits, type Limits } from './specs/limits.ts'
import { quantityValue } from '../base/quantities.ts'
import { checkSecrets, checkTransform } from './specs/transform-check.ts'
import type { RequestedSpec, Resources, Secret } from './requested-specs.ts'
import { atomsOf, type Input } from './inputs.ts'

/** A pipeline's spec, checked and with its defaults filled in. */
export interface PipelineSpec extends Limits, ErrorHandling {
  readonly name: PipelineName
  /** In a trial: the pipeline that is tried, which is what its code is told. */
  readonly tries?: PipelineName
  readonly description: string
  readonly transform: Transform
  /** What user code is given of secrets. */
  readonly secrets: readonly Secret[]
  /** Recorded for executors that run containers. */
  readonly imagePullSecrets: readonly string[]
  readonly debug: boolean
  readonly parallelism: Parallelism
  /** Of a spout: a union without members. */
  readonly input: Input
  /** It reads nothing, and its code runs for ever. */
  readonly spout?: true
  /** Its code serves what the newest commits hold, and makes none. */
  readonly service?: ServicePorts
  readonly outputBranch: BranchName
  /** Of each worker; `memory` is at least the cache size. Unset: that alone. */
  readonly resources?: Resources
  /** A Kubernetes quantity. */
  readonly cacheSize: string
  readonly scaleDownThresholdMs?: number
  /** What is always kept of datums is also files on the branch `stats` of the output repo. */
  readonly enableStats: boolean
  readonly batch: boolean
  /** User code finds what a datum's parent wrote, and of its input what is new. */
  readonly incremental: boolean
  /** Unset: the server decides. */
  readonly executor?: ExecutorName
  /** An object store that each output is exported to before its job succeeds. */
  readonly egressUrl?: string
  /** The secret with the credentials for that; unset: the server's own. */
  readonly egressSecret?: string
}

export type Parallelism =
  | { readonly kind: 'default' }
  | { readonly kind: 'constant'; readonly count: number }
  | { readonly kind: 'coefficient'; readonly factor: number }

/** Where pipelines with `enableStats` commit what is known of their datums. */
export const statsBranch = 'stats'

const defaultCacheSize = '64M'
const slotCountMax = 1024
const cpuMax = 65_536
const gpuMax = 65_536
const thresholdMsMax = 365 * 24 * 3600 * 1000
/** Of a spec as it is stored. */
const specLengthMax = 1024 * 1024

/**
 * Checks a spec as far as it can be without looking at what exists. `now` is when cron inputs start
 * that do not say. Their schedules are left to `checkSchedules`. `parseBranch` says which names the output
 * branch may have.
 *
 * @throws {InvalidArgumentError} naming the field and what it should be.
 */
export function checkSpec(
  request: RequestedSpec,
  now: Instant,
  parseBranch: (text: string) => BranchName = parseBranchName,
): PipelineSpec {
  const name = parsePipelineName(request.name ?? '')
  const { transform } = request
  if (transform === undefined) {
    throw new InvalidArgumentError(
      `pipeline ${name}: no transform set; "transform" says what to run`,
    )
  }
  const input = inputOf(name, request, now)
  if (atomsOf(input).some((atom) => atom.repo === String(name))) {
    throw new InvalidArgumentError(
      `pipeline ${name} cannot read its own output repo; give the pipeline or the input another name`,
    )
  }
  const cacheSize = checkCacheSize(name, request.cacheSize || defaultCacheSize)
  const resources = checkResources(name, request.resources, cacheSize)
  const scaleDownThresholdMs = checkThreshold(name, request.scaleDownThresholdMs)
  const egressUrl = checkEgress(name, request.egressUrl)
  const spec: PipelineSpec = {
    name,
    description: checkShortText(
      request.description ?? '',
      `the description of pipeline ${name}`,
      'put long texts into a file of a repo',
    ),
    transform: checkTransform(name, transform),
    secrets: checkSecrets(name, transform),
    imagePullSecrets: transform.imagePullSecrets,
    debug: transform.debug,
    parallelism: checkParallelism(name, request.parallelism),
    input,
    ...(request.spout === true && { spout: true }),
    ...(request.service !== undefined && { service: checkService(name, request.service) }),
    outputBranch: inSpecOf(name, () => parseBranch(request.outputBranch || 'master')),
    ...(resources === undefined ? {} : { resources }),
    cacheSize,
    ...(scaleDownThresholdMs === undefined ? {} : { scaleDownThresholdMs }),
    enableStats: request.enableStats ?? false,
    batch: request.batch ?? false,
    incremental: checkIncremental(name, request.incremental ?? false, input),
    ...(egressUrl === undefined ? {} : { egressUrl }),
    ...checkExecutor(name, request.executor ?? '', transform.image),
    ...checkEgressSecret(name, request),
    ...checkLimits(name, request),
    ...checkErrorCommand(name, transform),
  }
  if (request.spout === true || request.service !== undefined) refuseEnds(spec)
  if (request.service !== undefined) refuseOutputs(spec)
  if (spec.enableStats && String(spec.outputBranch) === statsBranch) {
    throw new InvalidArgumentError(
      `pipeline ${name}: with enable_stats the branch ${statsBranch} is for statistics; choose another output_branch`,
    )
  }
  return requireSmall(spec)
}

/** A spout has no datums, and its jobs no end that would be too late. */
function refuseEnds({
  name,
  datumTries,
  datumTimeoutMs,
  jobTimeoutMs,
  errorCommand,
  egressUrl,
  spout,
  transform,
}: PipelineSpec): void {
  const what = spout === true ? 'spout' : 'service'
  const given = {
    datum_tries: datumTries,
    datum_timeout: datumTimeoutMs,
    job_timeout: jobTimeoutMs,
    err_cmd: errorCommand,
    warm: transform.isWarm,
    egress: egressUrl,
  }
  for (const [field, value] of Object.entries(given)) {
    if (value === undefined) continue
    throw new InvalidArgumentError(
      `pipeline ${name}: ${field} is about datums and jobs that end, and a ${what}'s code runs for ever; leave it out`,
    )
  }
}

/** A service makes no commits, and shows all that it reads to one run of its code. */
function refuseOutputs(spec: PipelineSpec): void {
  const { name, spout, incremental, enableStats, parallelism, input } = spec
  const isGroup = matchingInputs(input).some(({ kind }) => kind === 'group')
  const given = {
    spout,
    incremental,
    enable_stats: enableStats,
    'a group input': isGroup,
    'parallelism_spec of more than 1': parallelism.kind === 'constant' && parallelism.count > 1,
  }
  for (const [field, isGiven] of Object.entries(given)) {
    if (isGiven !== true) continue
    throw new InvalidArgumentError(
      `pipeline ${name}: ${field} has no meaning for a service, whose code runs once over all that it reads, and commits nothing; leave it out`,
    )
  }
}

function inputOf(name: PipelineName, { input, spout }: RequestedSpec, now: Instant): Input {
  if (spout === true) {
    if (input === undefined || Object.values(input).every((part) => part === undefined)) {
      return { kind: 'union', members: [] }
    }
    throw new InvalidArgumentError(
      `pipeline ${name}: a spout has no input; leave out "input", or "spout"`,
    )
  }
  if (input !== undefined) return inSpecOf(name, () => checkInput(input, { pipeline: name, now }))
  throw new InvalidArgumentError(
    `pipeline ${name}: no input set; "input" says what to read, and "spout": {} that nothing is read and the code runs for ever`,
  )
}

function inSpecOf<Value>(name: PipelineName, check: () => Value): Value {
  try {
    return check()
  } catch (error) {
    throw refusedIn(() => `pipeline ${name}`, error)
  }
}

function checkParallelism(name: PipelineName, request: RequestedSpec['parallelism']): Parallelism {
  if (request === undefined) return { kind: 'default' }
  const { constant, coefficient } = request
  if (constant !== 0 && coefficient !== 0) {
    throw new InvalidArgumentError(
      `pipeline ${name}: contradictory parallelism strategies: must set at most one of constant and coefficient`,
    )
  }
  if (
    constant < 0 ||
    constant > slotCountMax ||
    !(coefficient >= 0 && coefficient <= slotCountMax)
  ) {
    throw new InvalidArgumentError(
      `pipeline ${name}: parallelism_spec must be between 0 and ${slotCountMax}`,
    )
  }
  if (constant !== 0) return { kind: 'constant', count: constant }
  return coefficient === 0 ? { kind: 'default' } : { kind: 'coefficient', factor: coefficient }
}

function checkCacheSize(name: PipelineName, text: string): string {
  if (quantityValue(text) === undefined) {
    throw new InvalidArgumentError(
      `pipeline ${name}: could not parse cacheSize '${text}': a number with an optional unit is needed, as in 64M or 1Gi`,
    )
  }
  return text
}

/** Memory below the cache size is raised to it, as in 1.5. */
function checkResources(
  name: PipelineName,
  request: Resources | undefined,
  cacheSize: string,
): Resources | undefined {
  if (request === undefined) return undefined
  const { cpu, memory, gpu } = request
  if (!(cpu >= 0 && cpu <= cpuMax)) {
    throw new InvalidArgumentError(
      `pipeline ${name}: resource_spec.cpu ${cpu} must be a number of cores between 0 and ${cpuMax}`,
    )
  }
  if (!(Number.isInteger(gpu) && gpu >= 0 && gpu <= gpuMax)) {
    throw new InvalidArgumentError(
      `pipeline ${name}: resource_spec.gpu ${gpu} must be a number of devices between 0 and ${gpuMax}`,
    )
  }
  const bytes = quantityValue(memory || '0')
  if (bytes === undefined) {
    throw new InvalidArgumentError(
      `pipeline ${name}: resource_spec.memory ${JSON.stringify(memory)} must be a number of bytes with an optional unit, as in 64M or 1Gi`,
    )
  }
  return { cpu, gpu, memory: bytes < (quantityValue(cacheSize) ?? 0) ? cacheSize : memory }
}

function checkThreshold(name: PipelineName, ms: number | undefined): number | undefined {
  if (ms === undefined || (ms >= 0 && ms <= thresholdMsMax)) return ms
  throw new InvalidArgumentError(
    `pipeline ${name}: scale_down_threshold must be between 0 and a year, such as "30m"`,
  )
}

function checkExecutor(
  name: PipelineName,
  text: string,
  image: string,
): Pick<PipelineSpec, 'executor'> {
  if (text === '') return {}
  const executor = executorNames.find((known) => known === text)
  if (executor === undefined) {
    throw new InvalidArgumentError(
      `pipeline ${name}: executor ${JSON.stringify(text.slice(0, 100))} is none of ${executorNames.join(' and ')}; leave it out to have the server decide`,
    )
  }
  if (executor === 'container' && image === '') {
    throw new InvalidArgumentError(
      `pipeline ${name}: executor "container" needs an image; set "transform.image"`,
    )
  }
  return { executor }
}

/** Whether its inputs share provenance is checked where the pipeline is stored. */
function checkIncremental(name: PipelineName, incremental: boolean, input: Input): boolean {
  if (incremental && matchingInputs(input).some(({ kind }) => kind === 'group')) {
    throw new InvalidArgumentError(
      `pipeline ${name}: an incremental pipeline cannot read groups, whose datums have no parents`,
    )
  }
  return incremental
}

function requireSmall(spec: PipelineSpec): PipelineSpec {
  const size = JSON.stringify(spec).length
  if (size <= specLengthMax) return spec
  throw new InvalidArgumentError(
    `the spec of pipeline ${spec.name} has ${size} characters, and at most ${specLengthMax} are allowed: put long code into a file of a repo or an image`,
  )
}
