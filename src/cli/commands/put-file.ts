import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { commitAround } from '../uploading/commit-around.ts'
import { splitFlags } from '../uploading/split-flags.ts'
import { readSourceNames, targetsOf } from '../uploading/targets.ts'
import { upload } from '../uploading/upload.ts'

export async function putFile(context: CommandContext): Promise<void> {
  const { args, flags } = context
  const [repo = '', branch = '', path] = args
  const split = splitFlags(flags)
  const message = flags.text('message')
  const isCommit = flags.isOn('commit')
  if (flags.isOn('history')) return putHistory(context)
  if (message !== '' && !isCommit) {
    throw new UsageError('--message (-m) is about a commit that --commit (-c) opens: give both')
  }
  const names = await readSourceNames(context)
  const isRecursive = flags.isOn('recursive')
  const { local, remote } = targetsOf(names, path)
  if (flags.text('secret') !== '' && local.length > 0) {
    throw new UsageError(
      '--secret is for URLs, which the server fetches: put local files by another command',
    )
  }
  let hasPut = false
  let hasEnded = false
  const send = async (commit: string, { isHeld } = { isHeld: false }): Promise<void> => {
    const request = {
      repo,
      commit,
      isRecursive,
      overwrite: flags.isOn('overwrite'),
      split,
      parallelism: flags.positive('parallelism'),
      endsCommit: isCommit,
      onEnded: () => (hasEnded = true),
      onStored: () => (hasPut = true),
    }
    if (remote.length > 0) {
      const { putUrls } = await import('../uploading/url-sources.ts')
      // A commit of this command alone goes if what is local cannot follow.
      const { onStored: _, ...others } = request
      const isFirst = local.length > 0
      const told = isFirst ? { ...others, endsCommit: false, isPart: isHeld } : request
      await putUrls(context, { ...told, targets: remote })
    }
    // A server that does not hold it may not know yet what it has.
    const endsCommit = isCommit && (isHeld || remote.length === 0)
    if (local.length > 0) await upload(context, { ...request, endsCommit, targets: local })
  }
  const around = { repo, branch, message, hasPut: () => hasPut, hasEnded: () => hasEnded }
  if (!isCommit) await send(branch)
  else await commitAround(context, around, send)
}

async function putHistory(context: CommandContext): Promise<void> {
  const { flags } = context
  for (const name of ['commit', 'overwrite']) {
    if (flags.isOn(name)) throw new UsageError(`--history makes the commits: leave out --${name}`)
  }
  const { local, remote } = targetsOf(await readSourceNames(context), context.args[2])
  const [source] = remote
  if (source === undefined || remote.length > 1 || local.length > 0) {
    throw new UsageError('--history takes one source: -f pfs://HOST:PORT/REPO/BRANCH')
  }
  const { bringHistory } = await import('../uploading/brought-history.ts')
  await bringHistory(context, source)
}
