import { InvalidArgumentError, UnimplementedError } from '../base/errors.ts'
import { parseBranchName, parsePipelineName } from '../base/names.ts'
import type { BranchName, PipelineName } from '../base/names.ts'
import type { Transform } from './executor.ts'
import { checkErrorCommand, type ErrorHandling } from './specs/error-command.ts'
import { checkInput } from './specs/input-check.ts'
import { checkLimits, type Limits } from './specs/limits.ts'
import type { RequestedSpec, RequestedTransform, Resources } from './requested-specs.ts'
import { atomsOf, type Input } from './inputs.ts'

/** A pipeline's spec, checked and with its defaults filled in. */
export interface PipelineSpec extends Limits, ErrorHandling {
  readonly name: PipelineName
  readonly description: string
  readonly transform: Transform
  /** Recorded for executors that run containers. */
  readonly imagePullSecrets: readonly string[]
  readonly debug: boolean
  readonly parallelism: Parallelism
  readonly input: Input
  readonly outputBranch: BranchName
  readonly resources?: Resources
  /** A Kubernetes quantity. */
  readonly cacheSize: string
  readonly scaleDownThresholdMs?: number
  /** Statistics are always kept; recorded for clients that ask. */
  readonly enableStats: boolean
  readonly batch: boolean
}

export type Parallelism =
  | { readonly kind: 'default' }
  | { readonly kind: 'constant'; readonly count: number }
  | { readonly kind: 'coefficient'; readonly factor: number }

const defaultCacheSize = '64M'
const slotCountMax = 1024
const quantityPattern = /^[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+|[KMGTPE]i|[numkMGTPE])?$/

/**
 * Checks a spec as far as it can be without looking at what exists.
 *
 * @throws {InvalidArgumentError} naming the field and what it should be.
 * @throws {UnimplementedError} for a field that would change what runs and is not built yet.
 */
export function checkSpec(request: RequestedSpec): PipelineSpec {
  const name = parsePipelineName(request.name ?? '')
  if (request.transform === undefined) {
    throw new InvalidArgumentError(
      `pipeline ${name}: no transform set; "transform" says what to run`,
    )
  }
  if (request.input === undefined) {
    throw new InvalidArgumentError(`pipeline ${name}: no input set; "input" says what to read`)
  }
  refuseUnbuilt(name, request)
  const input = checkInput(request.input)
  if (atomsOf(input).some((atom) => atom.repo === String(name))) {
    throw new InvalidArgumentError(
      `pipeline ${name} cannot read its own output repo; give the pipeline or the input another name`,
    )
  }
  return {
    name,
    description: request.description ?? '',
    transform: checkTransform(name, request.transform),
    imagePullSecrets: request.transform.imagePullSecrets,
    debug: request.transform.debug,
    parallelism: checkParallelism(request.parallelism),
    input,
    outputBranch: parseBranchName(request.outputBranch || 'master'),
    ...(request.resources === undefined ? {} : { resources: request.resources }),
    cacheSize: checkCacheSize(request.cacheSize || defaultCacheSize),
    ...(request.scaleDownThresholdMs === undefined
      ? {}
      : { scaleDownThresholdMs: request.scaleDownThresholdMs }),
    enableStats: request.enableStats ?? false,
    batch: request.batch ?? false,
    ...checkLimits(name, request),
    ...checkErrorCommand(name, request.transform),
  }
}

function refuseUnbuilt(name: PipelineName, request: RequestedSpec): void {
  const unbuilt: string[] = []
  if (request.incremental === true) unbuilt.push('incremental')
  if (request.egressUrl !== undefined && request.egressUrl !== '') unbuilt.push('egress')
  if ((request.transform?.secretNames.length ?? 0) > 0) unbuilt.push('transform.secrets')
  if (unbuilt.length === 0) return
  throw new UnimplementedError(
    `pipeline ${name}: this server does not do ${unbuilt.join(' or ')} yet; remove it from the spec`,
  )
}

function checkTransform(name: PipelineName, transform: RequestedTransform): Transform {
  if (transform.command.length === 0 || transform.command[0] === '') {
    throw new InvalidArgumentError(
      `pipeline ${name}: no cmd set; "transform.cmd" is the program and its arguments, e.g. ["sh", "-c", "…"]`,
    )
  }
  for (const text of [...transform.command, ...transform.stdinLines]) refuseNul(name, text)
  for (const [key, value] of Object.entries(transform.environment)) {
    refuseNul(name, value)
    if (!/^[^=\0]+$/.test(key)) {
      throw new InvalidArgumentError(
        `pipeline ${name}: ${JSON.stringify(key)} is not a name for an environment variable`,
      )
    }
  }
  for (const code of transform.acceptedReturnCodes) {
    if (!Number.isInteger(code) || code < 0 || code > 255) {
      throw new InvalidArgumentError(
        `pipeline ${name}: accept_return_code ${code} is not an exit code (0 to 255)`,
      )
    }
  }
  return {
    image: transform.image,
    command: transform.command,
    stdinLines: transform.stdinLines,
    environment: transform.environment,
    acceptedReturnCodes: transform.acceptedReturnCodes,
  }
}

function refuseNul(name: PipelineName, text: string): void {
  if (text.includes('\0')) {
    throw new InvalidArgumentError(
      `pipeline ${name}: ${JSON.stringify(text)} holds a null character, which no program can be given`,
    )
  }
}

function checkParallelism(request: RequestedSpec['parallelism']): Parallelism {
  if (request === undefined) return { kind: 'default' }
  const { constant, coefficient } = request
  if (constant !== 0 && coefficient !== 0) {
    throw new InvalidArgumentError(
      'contradictory parallelism strategies: must set at most one of constant and coefficient',
    )
  }
  if (
    constant < 0 ||
    constant > slotCountMax ||
    !(coefficient >= 0 && coefficient <= slotCountMax)
  ) {
    throw new InvalidArgumentError(`parallelism_spec must be between 0 and ${slotCountMax}`)
  }
  if (constant !== 0) return { kind: 'constant', count: constant }
  return coefficient === 0 ? { kind: 'default' } : { kind: 'coefficient', factor: coefficient }
}

function checkCacheSize(text: string): string {
  if (!quantityPattern.test(text)) {
    throw new InvalidArgumentError(
      `could not parse cacheSize '${text}': a number with an optional unit is needed, as in 64M or 1Gi`,
    )
  }
  return text
}
