import type { CommandContext } from '../command.ts'
import { type CommitInfo, CommitInfoSchema } from '../../gen/pfs_pb.ts'
import { CommitTable } from '../printing/commit-rows.ts'
import { visible } from '../printing/visible.ts'
import { rawText } from '../printing/json.ts'
import { sizeText } from '../../base/sizes.ts'
import { ageText } from '../printing/times.ts'
import { commitsClient, streamOrElse } from '../own-clients.ts'
import { pfsClient } from '../pfs-client.ts'

interface Batch {
  readonly commitInfo: readonly CommitInfo[]
}

export async function startCommit(context: CommandContext): Promise<void> {
  const [name = '', branch = ''] = context.args
  const parent = { repo: { name }, id: context.flags.text('parent') }
  const message = context.flags.text('message')
  const { id } = await pfsClient(context).startCommit({ parent, branch, message })
  await context.out.line(id)
}

export async function finishCommit(context: CommandContext): Promise<void> {
  const [name = '', id = ''] = context.args
  const message = context.flags.text('message')
  await pfsClient(context).finishCommit({ commit: { repo: { name }, id }, message })
}

export async function inspectCommit(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [name = '', id = ''] = args
  const info = await pfsClient(context).inspectCommit({ commit: { repo: { name }, id } })
  await out.write(flags.isOn('raw') ? rawText(CommitInfoSchema, info) : detailText(info, context))
}

function detailText(info: CommitInfo, { clock }: CommandContext): string {
  const { commit, parentCommit, mergeParents, started, finished, sizeBytes, provenance } = info
  const { message } = info
  let text = `Commit: ${commit?.repo?.name ?? ''}/${commit?.id ?? ''}\n`
  if (parentCommit !== undefined) text += `Parent: ${parentCommit.id} \n`
  if (mergeParents.length > 0) text += `Merged: ${mergeParents.map(({ id }) => id).join(' ')}\n`
  text += `Started: ${ageText(started, clock)}\n`
  if (finished !== undefined) text += `Finished: ${ageText(finished, clock)} \n`
  text += `Size: ${sizeText(sizeBytes)}\n`
  if (message !== '') text += `Message: ${visible(message)}\n`
  if (provenance.length > 0) {
    const names = provenance.map(({ repo, id }) => ` ${repo?.name ?? ''}/${id} `)
    text += `Provenance: ${names.join('')} \n`
  }
  return text
}

export async function listCommit(context: CommandContext): Promise<void> {
  const { args, flags, out, clock } = context
  const [name = '', to = ''] = args
  const from = flags.text('from')
  const repo = { name }
  const request = {
    repo,
    number: BigInt(flags.count('number')),
    ...(to !== '' && { to: { repo, id: to } }),
    ...(from !== '' && { from: { repo, id: from } }),
  }
  const batches = streamOrElse<Batch>(commitsClient(context).listCommits(request), () =>
    pfsClient(context).listCommit(request),
  )
  const table = new CommitTable(out, clock)
  for await (const { commitInfo } of batches) {
    if (flags.isOn('raw')) {
      await out.write(commitInfo.map((info) => rawText(CommitInfoSchema, info)).join(''))
    } else await table.print(commitInfo)
  }
  // Without commits there is a header all the same.
  if (!flags.isOn('raw')) await table.print([])
}
