import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { type CommitInfo, CommitInfoSchema } from '../../gen/pfs_pb.ts'
import { parseQualifiedCommit } from '../parsing/commit-arguments.ts'
import { CommitTable } from '../printing/commit-rows.ts'
import { rawText } from '../printing/json.ts'
import { pfsClient } from '../pfs-client.ts'

export async function flushCommit(context: CommandContext): Promise<void> {
  const commits = context.args.map((text) => {
    const { repo: name, commit: id } = parseQualifiedCommit(text)
    return { repo: { name }, id }
  })
  const toRepos = context.flags.list('repos').map((name) => ({ name }))
  await printEach(pfsClient(context).flushCommit({ commits, toRepos }), context)
}

export async function subscribeCommit(context: CommandContext): Promise<void> {
  const { args, flags } = context
  const [name = '', branch = ''] = args
  const isNew = flags.isOn('new')
  const from = isNew ? branch : flags.text('from')
  if (isNew && flags.text('from') !== '') {
    throw new UsageError('--new and --from cannot both be provided')
  }
  const repo = { name }
  const start = from === '' ? {} : { from: { repo, id: from } }
  await printEach(pfsClient(context).subscribeCommit({ repo, branch, ...start }), context)
}

/** Each commit when it comes, under a header of its own: nobody knows when the next one will. */
async function printEach(
  infos: AsyncIterable<CommitInfo>,
  { flags, out, clock }: CommandContext,
): Promise<void> {
  for await (const info of infos) {
    if (flags.isOn('raw')) {
      await out.write(rawText(CommitInfoSchema, info))
      continue
    }
    await new CommitTable(out, clock).print([info])
  }
}
