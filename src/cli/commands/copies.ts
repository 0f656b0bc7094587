import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { filesClient } from '../own-clients.ts'
import { pfsClient } from '../pfs-client.ts'
import { commitAround } from '../uploading/commit-around.ts'
import { fileOf } from './files.ts'

type File = ReturnType<typeof fileOf>

export async function copyFile(context: CommandContext): Promise<void> {
  const overwrite = context.flags.isOn('overwrite')
  const append = context.flags.isOn('append')
  if (overwrite && append) throw new UsageError('--overwrite and --append cannot both be provided')
  await between(context, async (source, destination) => {
    await filesClient(context).copyFile({ source, destination, overwrite, append })
  })
}

export async function moveFile(context: CommandContext): Promise<void> {
  const overwrite = context.flags.isOn('overwrite')
  await between(context, async (source, destination) => {
    await filesClient(context).moveFile({ source, destination, overwrite })
  })
}

/** Runs `work` from the one file to the other, within a commit of its own where that is asked for. */
async function between(
  context: CommandContext,
  work: (source: File, destination: File) => Promise<void>,
): Promise<void> {
  const [repo = '', commit = '', path = '', toRepo = '', toCommit = '', toPath = ''] = context.args
  if (!context.flags.isOn('commit')) {
    await work(fileOf(repo, commit, path), fileOf(toRepo, toCommit, toPath))
    return
  }
  const isSame = repo === toRepo && commit === toCommit
  // Before the new commit: names such as master^ would go back from it.
  const found = isSame ? undefined : await idOf(context, repo, commit)
  const target = { repo: toRepo, branch: toCommit }
  await commitAround(context, target, async (id) => {
    // One branch on both sides is the new commit on both sides.
    await work(fileOf(repo, found ?? id, path), fileOf(toRepo, id, toPath))
  })
}

async function idOf(context: CommandContext, repo: string, commit: string): Promise<string> {
  const found = await pfsClient(context).inspectCommit({
    commit: { repo: { name: repo }, id: commit },
  })
  return found.commit?.id ?? commit
}
