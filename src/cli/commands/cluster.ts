import type { CommandContext } from '../command.ts'
import { pfsClient } from '../pfs-client.ts'
import { ppsClient } from '../pps-client.ts'

const question = 'Are you sure you want to delete all repos, commits, files, pipelines and jobs? yN'

export async function deleteAll(context: CommandContext): Promise<void> {
  await context.out.line(question)
  const answer = await context.input.firstLine()
  if (!/^y/i.test(answer)) return
  await ppsClient(context).deleteAll({})
  await pfsClient(context).deleteAll({})
}
