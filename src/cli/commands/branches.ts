import type { CommandContext } from '../command.ts'
import { type BranchInfo, BranchInfoSchema } from '../../gen/pfs_pb.ts'
import { rawText } from '../printing/json.ts'
import { Table } from '../printing/table.ts'
import { reposClient, streamOrElse } from '../own-clients.ts'
import { pfsClient } from '../pfs-client.ts'

interface Batch {
  readonly branchInfo: readonly BranchInfo[]
}

export async function listBranch(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [name = ''] = args
  const request = { repo: { name } }
  const batches = streamOrElse<Batch>(reposClient(context).listBranches(request), () =>
    pfsClient(context).listBranch(request),
  )
  const isRaw = flags.isOn('raw')
  const table = new Table(out)
  if (!isRaw) table.add('BRANCH', 'HEAD')
  for await (const { branchInfo } of batches) {
    if (isRaw) await out.write(branchInfo.map((info) => rawText(BranchInfoSchema, info)).join(''))
    else for (const { name: branch, head } of branchInfo) table.add(branch, head?.id ?? '')
    await table.flush()
  }
  await table.flush()
}

export async function setBranch(context: CommandContext): Promise<void> {
  const [name = '', id = '', branch = ''] = context.args
  await pfsClient(context).setBranch({ commit: { repo: { name }, id }, branch })
}

export async function deleteBranch(context: CommandContext): Promise<void> {
  const [name = '', branch = ''] = context.args
  await pfsClient(context).deleteBranch({ repo: { name }, branch })
}
