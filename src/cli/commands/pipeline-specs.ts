import { FailedPreconditionError, UnimplementedError } from '../../base/errors.ts'
import { shortened } from '../../base/shortened.ts'
import type { CreatePipelineRequest } from '../../gen/pps_pb.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { pipelinesClient } from '../own-clients.ts'
import { parsePipelineSpecs } from '../parsing/pipeline-specs.ts'
import { parseSpecArguments, SpecTemplate } from '../parsing/spec-arguments.ts'
import { ppsClient } from '../pps-client.ts'
import { readSource } from '../spec-source.ts'

export async function createPipeline(context: CommandContext): Promise<void> {
  await apply(context, {})
}

export async function updatePipeline(context: CommandContext): Promise<void> {
  await apply(context, { update: true, reprocess: context.flags.isOn('reprocess') })
}

/** What the command decides, whatever the spec says. */
interface Overrides {
  readonly update?: boolean
  readonly reprocess?: boolean
}

async function apply(context: CommandContext, overrides: Overrides): Promise<void> {
  if (context.flags.isOn('push-images')) {
    throw new UnimplementedError(
      '--push-images is not there yet: push the image with docker push, and name it in the spec',
    )
  }
  const folder = context.flags.text('build')
  if (folder !== '') {
    await applyBuilt(context, folder, overrides)
    return
  }
  for await (const request of requestedSpecs(context)) await applySpec(context, request, overrides)
}

/** One spec, in an image of a folder. */
async function applyBuilt(
  context: CommandContext,
  folder: string,
  overrides: Overrides,
): Promise<void> {
  const [request, ...more] = await Array.fromAsync(requestedSpecs(context))
  if (request === undefined || more.length > 0) {
    throw new UsageError(
      `--build makes the image of one pipeline, and there are ${more.length + (request === undefined ? 0 : 1)} specs; give one`,
    )
  }
  await requireApplicable(context, request, overrides)
  const { buildFor } = await import('../building/build.ts')
  await buildFor(context, request, folder)
  await applySpec(context, request, overrides)
}

/** @throws {FailedPreconditionError} for what the server will refuse, before an image is built for nothing. */
async function requireApplicable(
  context: CommandContext,
  request: CreatePipelineRequest,
  { update = request.update }: Overrides,
): Promise<void> {
  const name = request.pipeline?.name ?? ''
  if (name === '') return
  const { pipelineInfo } = await ppsClient(context).listPipeline({})
  const exists = pipelineInfo.some(({ pipeline }) => pipeline?.name === name)
  if (exists === update) return
  throw new FailedPreconditionError(
    exists
      ? `pipeline ${name} already exists; use update-pipeline to change it`
      : `pipeline ${name} does not exist; use create-pipeline to make it`,
  )
}

/** Sends one spec, and prints what people should know of how the server runs it. */
export async function applySpec(
  context: CommandContext,
  request: CreatePipelineRequest,
  { update, reprocess }: Overrides,
): Promise<void> {
  const { out, err } = context
  const pps = ppsClient(context)
  if (request.inputs.length > 0) {
    await out.line('WARNING: the field "inputs" is deprecated; write "input" instead')
  }
  if (update === true) {
    request.update = true
    request.reprocess = reprocess === true
  }
  await pps.createPipeline(request)
  const { notices } = await pps.inspectPipeline({
    pipeline: { name: request.pipeline?.name ?? '' },
  })
  for (const notice of notices) await err.line(`Notice: ${notice}`)
}

/** The specs that the flags name, one after the other; those of a template all at once. */
export async function* requestedSpecs(
  context: CommandContext,
): AsyncGenerator<CreatePipelineRequest> {
  const { flags } = context
  const source = flags.text('template')
  const words = flags.list('arg')
  if (source === '') {
    if (words.length > 0) {
      throw new UsageError('--arg fills in a template: name it with --template instead of --file')
    }
    yield* parsePipelineSpecs(await readSource(context, flags.text('file') || '-'))
    return
  }
  if (flags.text('file') !== '') {
    throw new UsageError('cannot use both --file and --template')
  }
  const template = new SpecTemplate(parseSpecArguments(words))
  const text = await readSource(context, source)
  const specs = await Array.fromAsync(parsePipelineSpecs(text, template.substitute))
  template.requireAllUsed()
  yield* specs
}

export async function validatePipeline(context: CommandContext): Promise<void> {
  const specs = await Array.fromAsync(requestedSpecs(context))
  const { validations } = await pipelinesClient(context).validatePipelines({ specs })
  let refusedCount = 0
  for (const { pipeline, refusal, pipelineInfo } of validations) {
    const name = shortened(pipeline?.name || '(no name)')
    if (refusal !== '') refusedCount += 1
    await context.out.line(`${name}: ${verdict(refusal, pipelineInfo?.version)}`)
    for (const notice of pipelineInfo?.notices ?? []) await context.err.line(`Notice: ${notice}`)
  }
  if (refusedCount > 0) {
    throw new FailedPreconditionError(`${refusedCount} of ${specs.length} would be refused`)
  }
}

function verdict(refusal: string, version: bigint | undefined): string {
  if (refusal !== '') return `refused: ${refusal}`
  if (version === undefined) return 'not looked at, since so many before it were refused'
  return version === 1n ? 'valid; it would be made' : `valid; it would become version ${version}`
}
