import type { CommandContext } from '../command.ts'
import { BranchInfoSchema } from '../../gen/pfs_pb.ts'
import { rawText } from '../printing/json.ts'
import { Table } from '../printing/table.ts'
import { pfsClient } from '../pfs-client.ts'

export async function listBranch(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [name = ''] = args
  const { branchInfo } = await pfsClient(context).listBranch({ repo: { name } })
  if (flags.isOn('raw')) {
    for (const info of branchInfo) await out.write(rawText(BranchInfoSchema, info))
    return
  }
  const table = new Table(out)
  table.add('BRANCH', 'HEAD')
  for (const { name: branch, head } of branchInfo) table.add(branch, head?.id ?? '')
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
