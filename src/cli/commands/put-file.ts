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
  if (message !== '' && !isCommit) {
    throw new UsageError('--message (-m) is about a commit that --commit (-c) opens: give both')
  }
  const names = await readSourceNames(context)
  const isRecursive = flags.isOn('recursive')
  const targets = targetsOf(names, path)
  let hasPut = false
  const send = (commit: string): Promise<void> =>
    upload(context, {
      repo,
      commit,
      targets,
      isRecursive,
      overwrite: flags.isOn('overwrite'),
      split,
      parallelism: Math.max(1, flags.count('parallelism')),
      onStored: () => (hasPut = true),
    })
  if (!isCommit) await send(branch)
  else await commitAround(context, { repo, branch, message, hasPut: () => hasPut }, send)
}
