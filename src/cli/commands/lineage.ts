import { type FileOrigin, type InputRef, LineageResponseSchema } from '../../gen/pachyderm_pb.ts'
import type { CommandContext } from '../command.ts'
import { rawText } from '../printing/json.ts'
import { tableText } from '../printing/table.ts'
import { jobsClient } from '../own-clients.ts'
import { fileOf } from './files.ts'

export async function lineage(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [repo = '', commit = '', path = ''] = args
  const response = await jobsClient(context).lineage({ file: fileOf(repo, commit, path) })
  if (flags.isOn('raw')) {
    await out.write(rawText(LineageResponseSchema, response))
    return
  }
  const name = `${repo}/${commit}/${path.replace(/^\/+/, '')}`
  const { origins } = response
  if (origins.length === 0) {
    await out.line(`${name} was put there, not made by a pipeline`)
    return
  }
  const count = origins.length === 1 ? 'one datum' : `${origins.length} datums, in this order`
  await out.line(`${name} was written by ${count}:`)
  for (const origin of origins) await out.write(originText(origin))
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
