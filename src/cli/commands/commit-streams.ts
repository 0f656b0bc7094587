import { InvalidArgumentError } from '../../base/errors.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { type CommitInfo, CommitInfoSchema } from '../../gen/pfs_pb.ts'
import { addCommitRow, commitColumns } from '../printing/commit-rows.ts'
import { rawText } from '../printing/json.ts'
import { Table } from '../printing/table.ts'
import { pfsClient } from '../pfs-client.ts'

export async function flushCommit(context: CommandContext): Promise<void> {
  const commits = context.args.map(parseCommit)
  const toRepos = context.flags.list('repos').map((name) => ({ name }))
  await printEach(pfsClient(context).flushCommit({ commits, toRepos }), context)
}

function parseCommit(text: string): { readonly repo: { readonly name: string }; id: string } {
  const [name = '', id = '', ...rest] = text.split('/')
  if (name === '' || id === '' || rest.length > 0) {
    throw new InvalidArgumentError(
      `commit ${JSON.stringify(text)} is not of the form REPO/COMMIT, such as images/master`,
    )
  }
  return { repo: { name }, id }
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
    const table = new Table(out)
    table.add(...commitColumns)
    addCommitRow(table, info, clock)
    await table.flush()
  }
}
