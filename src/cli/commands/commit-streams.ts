import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { type CommitInfo, CommitInfoSchema } from '../../gen/pfs_pb.ts'
import type { FlushCausesRequestSchema } from '../../gen/pachyderm_pb.ts'
import { parseQualifiedCommit } from '../parsing/commit-arguments.ts'
import { CommitTable } from '../printing/commit-rows.ts'
import { rawText } from '../printing/json.ts'
import { visible } from '../printing/visible.ts'
import { isUnimplemented } from '../../client/rpc-error.ts'
import { commitsClient } from '../own-clients.ts'
import { pfsClient } from '../pfs-client.ts'

/** After so long people wonder whether anything goes on; it is looked less and less often then. */
const firstPauseMs = 2000
const pauseMsMax = 30_000

export async function flushCommit(context: CommandContext): Promise<void> {
  const commits = context.args.map((text) => {
    const { repo: name, commit: id } = parseQualifiedCommit(text)
    return { repo: { name }, id }
  })
  const toRepos = context.flags.list('repos').map((name) => ({ name }))
  const request = { commits, toRepos }
  const ended = new AbortController()
  const telling = tellCauses(request, context, ended.signal)
  try {
    await printEach(pfsClient(context).flushCommit(request), context)
  } finally {
    ended.abort()
    await telling
  }
}

/** Says on standard error, while a flush goes on, what it waits for that may need somebody: each once. */
async function tellCauses(
  request: MessageInitShape<typeof FlushCausesRequestSchema>,
  context: CommandContext,
  signal: AbortSignal,
): Promise<void> {
  const told = new Set<string>()
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMsMax, pauseMs * 2)) {
    try {
      await context.clock.sleep(pauseMs, signal)
      const { causes } = await commitsClient(context).flushCauses(request, { signal })
      for (const cause of causes.filter((text) => !told.has(text))) {
        told.add(cause)
        await context.err.line(`Notice: still waiting: ${visible(cause)}`)
      }
    } catch (error) {
      // Of what ends the flush itself, the flush tells; 1.5 does not know the call. All else may pass.
      if (signal.aborted || isUnimplemented(error)) return
    }
  }
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
