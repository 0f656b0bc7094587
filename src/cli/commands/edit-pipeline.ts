import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FailedPreconditionError, InvalidArgumentError } from '../../base/errors.ts'
import type { CreatePipelineRequest } from '../../gen/pps_pb.ts'
import type { CommandContext } from '../command.ts'
import { KeptTextError } from '../errors.ts'
import { parsePipelineSpecs } from '../parsing/pipeline-specs.ts'
import type { SourceText } from '../parsing/spec-documents.ts'
import { requestedFormat, specFileText } from '../printing/pipeline-spec.ts'
import { ppsClient } from '../pps-client.ts'
import { applySpec } from './pipeline-specs.ts'

/** Has a person change a pipeline's spec in an editor, and updates the pipeline. */
export async function editPipeline(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [name = ''] = args
  const format = requestedFormat(flags)
  const before = await ppsClient(context).inspectPipeline({ pipeline: { name } })
  const text = await specFileText(before, format)
  // Nobody else may read it: a spec can hold secrets.
  const directory = await mkdtemp(join(tmpdir(), 'pachctl-'))
  const path = join(directory, `${name}.${format}`)
  let isDone = false
  try {
    await writeFile(path, text, { mode: 0o600 })
    await runEditor(path)
    const edited = await readFile(path, 'utf8')
    isDone = edited === text
    if (isDone) return await out.line('nothing was changed')
    const spec = await parseOne({ text: edited, name: path }, name)
    await requireVersion(context, name, before.version)
    await applySpec(context, spec, { update: true, reprocess: flags.isOn('reprocess') })
    isDone = true
  } catch (error) {
    isDone = (await readFile(path, 'utf8').catch(() => text)) === text
    if (isDone) throw error
    throw new KeptTextError(
      `what you wrote is in ${path}; to apply it: pachctl update-pipeline -f ${path}`,
      { cause: error },
    )
  } finally {
    if (isDone) await rm(directory, { recursive: true })
  }
}

async function parseOne(text: SourceText, name: string): Promise<CreatePipelineRequest> {
  const specs = await Array.fromAsync(parsePipelineSpecs(text))
  const [spec] = specs
  if (spec === undefined || specs.length > 1) {
    throw new InvalidArgumentError(`${specs.length} specs are too many: edit-pipeline takes one`)
  }
  const now = spec.pipeline?.name ?? ''
  if (now === name) return spec
  throw new InvalidArgumentError(
    `the spec is of pipeline ${JSON.stringify(now)} now, and a pipeline keeps its name ${name}; to make another, use create-pipeline`,
  )
}

async function requireVersion(
  context: CommandContext,
  name: string,
  version: bigint,
): Promise<void> {
  const now = await ppsClient(context).inspectPipeline({ pipeline: { name } })
  if (now.version === version) return
  throw new FailedPreconditionError(
    `pipeline ${name} has been updated meanwhile: it was of version ${version}, and is of version ${now.version}`,
  )
}

/** As git does: `$VISUAL`, else `$EDITOR`, else vi; words after the first are its arguments. */
async function runEditor(path: string): Promise<void> {
  const editor = process.env['VISUAL'] || process.env['EDITOR'] || 'vi'
  const [program = '', ...words] = editor.trim().split(/\s+/)
  const ended = Promise.withResolvers<string>()
  const child = spawn(program, [...words, path], { stdio: 'inherit' })
  child.on('error', (error: NodeJS.ErrnoException) =>
    ended.resolve(
      error.code === 'ENOENT' ? 'was not found' : `cannot be started: ${error.message}`,
    ),
  )
  child.on('close', (code, signal) => ended.resolve(code === 0 ? '' : endText(code, signal)))
  const problem = await ended.promise
  if (problem === '') return
  throw new FailedPreconditionError(
    `the editor ${JSON.stringify(editor)} ${problem}, so that nothing was changed; another is taken from $VISUAL or $EDITOR`,
  )
}

function endText(code: number | null, signal: string | null): string {
  return signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`
}
