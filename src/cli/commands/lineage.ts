import {
  type FileDerivation,
  FileDerivationSchema,
  type FileOrigin,
  type InputRef,
  LineageResponseSchema,
} from '../../gen/pachyderm_pb.ts'
import type { CommandContext } from '../command.ts'
import type { Output } from '../../base/output.ts'
import { rawText } from '../printing/json.ts'
import { datumStateText } from '../printing/states.ts'
import { tableText } from '../printing/table.ts'
import { visible } from '../printing/visible.ts'
import { jobsClient } from '../own-clients.ts'
import { fileOf } from './files.ts'

export async function lineage(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [repo = '', commit = '', path = ''] = args
  const file = fileOf(repo, commit, path)
  const name = `${repo}/${commit}/${path.replace(/^\/+/, '')}`
  const [up, down] = [flags.isOn('upstream'), flags.isOn('downstream')]
  if (up || !down) await printOrigins(context, { file, name })
  if (up === down && !flags.isOn('raw')) await out.line('')
  if (down || !up) await printDerivations(context, { file, name })
}

interface NamedFile {
  readonly file: ReturnType<typeof fileOf>
  readonly name: string
}

async function printOrigins(context: CommandContext, { file, name }: NamedFile): Promise<void> {
  const { flags, out } = context
  const response = await jobsClient(context).lineage({ file })
  if (flags.isOn('raw')) {
    await out.write(rawText(LineageResponseSchema, response))
    return
  }
  const { origins } = response
  if (origins.length === 0) {
    await out.line(`${visible(name)} was put there, not made by a pipeline`)
    return
  }
  const count = origins.length === 1 ? 'one datum' : `${origins.length} datums, in this order`
  await out.line(`${visible(name)} was written by ${count}:`)
  for (const origin of origins) await out.write(originText(origin))
}

/** Each when it comes. */
async function printDerivations(context: CommandContext, { file, name }: NamedFile): Promise<void> {
  const { flags, out } = context
  let last = ''
  for await (const { derivations } of jobsClient(context).derivations({ file })) {
    for (const derivation of derivations) {
      if (flags.isOn('raw')) {
        await out.write(rawText(FileDerivationSchema, derivation))
        continue
      }
      const id = `${derivation.job?.id ?? ''} ${derivation.datumId}`
      if (last === '') await out.line(`${visible(name)} was read by:`)
      if (id !== last) await out.write(readerText(derivation, out))
      last = id
      await out.write(outputText(derivation))
    }
  }
  if (last === '' && !flags.isOn('raw')) await out.line(`${visible(name)} was read by no job`)
}

function readerText(derivation: FileDerivation, out: Output): string {
  const { datumId, job, pipeline, state } = derivation
  return (
    `\n  Datum: ${datumId}\n  Job: ${job?.id ?? ''}\n  Pipeline: ${pipeline?.name ?? ''}\n` +
    `  State: ${datumStateText(state, out)}\n`
  )
}

function outputText({ outputCommit, pipeline, paths }: FileDerivation): string {
  const repo = pipeline?.name ?? ''
  // The job has not succeeded: its output is in no commit.
  const root = outputCommit === undefined ? '/pfs/out/' : `${repo}/${outputCommit.id}/`
  return paths.map((path) => `  Wrote: ${root}${visible(path.slice(1))}\n`).join('')
}

function originText({ job, datumId, inputs }: FileOrigin): string {
  const rows = inputs.map((input) => [`    /pfs/${input.inputName}`, sourceText(input)])
  return (
    `\n  Datum: ${datumId}\n  Job: ${job?.id ?? ''}\n  From:\n` +
    tableText(rows, { cellWidthMin: 0, gap: 3 })
  )
}

function sourceText({ file }: InputRef): string {
  const { commit, path = '' } = file ?? {}
  return `${commit?.repo?.name ?? ''}/${commit?.id ?? ''}/${path.replace(/^\/+/, '')}`
}
