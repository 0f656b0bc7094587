import type { CommandContext } from '../command.ts'
import { lostWith } from '../lost-connection.ts'
import { filesClient } from '../own-clients.ts'
import { Progress } from '../printing/progress.ts'
import type { UrlTarget } from './targets.ts'

/** Has the server bring all commits of a branch elsewhere, and says which is which. */
export async function bringHistory(
  context: CommandContext,
  { url, path, addsOwnName: addOwnName }: UrlTarget,
): Promise<void> {
  const { args, flags, out } = context
  const [repo = '', branch = ''] = args
  const progress = new Progress(context, 'brought')
  const responses = filesClient(context).putHistory({
    repo: { name: repo },
    branch,
    url,
    path,
    addOwnName,
    resume: flags.isOn('resume'),
    parallelism: flags.positive('parallelism'),
  })
  try {
    for await (const { files, bytes, brought } of responses) {
      progress.show({ fileCount: Number(files), sizeBytes: Number(bytes) })
      for (const { origin, commit, changedFiles, removedPaths } of brought) {
        await progress.end()
        await out.line(`${origin}\t${commit?.id}\t+${changedFiles} -${removedPaths}`)
      }
    }
  } catch (error) {
    throw lostWith(
      error,
      'whole commits have come, or none: the same command with --resume goes on',
    )
  }
  await progress.end()
}
