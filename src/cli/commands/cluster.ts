import type { CommandContext } from '../command.ts'
import { confirm } from '../confirm.ts'
import { pfsClient } from '../pfs-client.ts'
import { ppsClient } from '../pps-client.ts'

const question = 'Are you sure you want to delete all repos, commits, files, pipelines and jobs? yN'

export async function deleteAll(context: CommandContext): Promise<void> {
  await confirm(context, question, 'nothing was deleted')
  await ppsClient(context).deleteAll({})
  await pfsClient(context).deleteAll({})
}
