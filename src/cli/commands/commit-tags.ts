import type { CommandContext } from '../command.ts'
import { CommitTagInfoSchema } from '../../gen/pachyderm_pb.ts'
import { commitsClient } from '../own-clients.ts'
import { rawText } from '../printing/json.ts'
import { Table } from '../printing/table.ts'
import { ageText } from '../printing/times.ts'

export async function tagCommit(context: CommandContext): Promise<void> {
  const [name = '', id = '', tag = ''] = context.args
  const commit = { repo: { name }, id }
  await commitsClient(context).tagCommit({ commit, tag, move: context.flags.isOn('move') })
}

export async function listCommitTag(context: CommandContext): Promise<void> {
  const { args, flags, out, clock } = context
  const [name] = args
  const batches = commitsClient(context).listCommitTags(
    name === undefined ? {} : { repo: { name } },
  )
  const isRaw = flags.isOn('raw')
  const table = new Table(out)
  table.add('REPO', 'TAG', 'COMMIT', 'TAGGED')
  for await (const { tags } of batches) {
    if (isRaw) await out.write(tags.map((info) => rawText(CommitTagInfoSchema, info)).join(''))
    else {
      for (const { tag, commit, tagged } of tags) {
        table.add(commit?.repo?.name ?? '', tag, commit?.id ?? '', ageText(tagged, clock))
      }
      await table.flush()
    }
  }
  if (!isRaw) await table.flush()
}

export async function deleteCommitTag(context: CommandContext): Promise<void> {
  const [name = '', tag = ''] = context.args
  await commitsClient(context).deleteCommitTag({ repo: { name }, tag })
}
