import { readFile } from 'node:fs/promises'
import { InvalidArgumentError, UnimplementedError } from '../../base/errors.ts'
import type { CommandContext } from '../command.ts'
import { parsePipelineSpecs } from '../parsing/pipeline-specs.ts'
import { ppsClient } from '../pps-client.ts'

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

async function apply(context: CommandContext, { update, reprocess }: Overrides): Promise<void> {
  const { flags, out, err } = context
  if (flags.isOn('push-images')) {
    throw new UnimplementedError(
      '--push-images is not there yet: push the image with docker push, and name it in the spec',
    )
  }
  const text = await readSource(context, flags.text('file'))
  const pps = ppsClient(context)
  for (const request of parsePipelineSpecs(text)) {
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
}

/** The text of a local file, of what is at a URL, or of standard input (`-`). */
export async function readSource({ input, out }: CommandContext, source: string): Promise<string> {
  if (source === '-') {
    await out.line('Reading from stdin.')
    return input.text()
  }
  if (/^https?:\/\//.test(source)) return fetchText(source)
  try {
    return await readFile(source, 'utf8')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EISDIR')) throw error
    throw new InvalidArgumentError(
      `${source} is a directory: name a file with specs, or - for standard input`,
      { cause: error },
    )
  }
}

async function fetchText(url: string): Promise<string> {
  let response: Response
  try {
    response = await fetch(url)
  } catch (error) {
    const { cause } = error as Error
    throw new InvalidArgumentError(
      `cannot fetch ${url}: ${cause instanceof Error ? cause.message : String(error)}`,
      { cause: error },
    )
  }
  if (!response.ok) {
    throw new InvalidArgumentError(`cannot fetch ${url}: the answer is HTTP ${response.status}`)
  }
  return response.text()
}
