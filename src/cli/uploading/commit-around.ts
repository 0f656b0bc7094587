import type { CommandContext } from '../command.ts'

/**
 * Opens a commit on a branch, runs `work` with its id, and finishes it, even when `work`
 * failed.
 * An interrupt ends the process with the commit open, and says what to do with it: what was put
 * so far is seldom what was meant.
 */
export async function commitAround(
  context: CommandContext,
  {
    repo,
    branch,
    message,
  }: { readonly repo: string; readonly branch: string; readonly message: string },
  work: (commit: string) => Promise<void>,
): Promise<void> {
  // Loaded here: without --commit, nothing but contents is sent, which needs no generated code.
  const { pfsClient } = await import('../pfs-client.ts')
  const pfs = pfsClient(context)
  const { id } = await pfs.startCommit({ parent: { repo: { name: repo } }, branch, message })
  const tellAndEnd = (): void => {
    process.stderr.write(interruptText(repo, id))
    // No handler is left, so this is what it would have been.
    process.kill(process.pid, 'SIGINT')
  }
  process.once('SIGINT', tellAndEnd)
  try {
    await work(id)
  } finally {
    process.off('SIGINT', tellAndEnd)
    await pfs.finishCommit({ commit: { repo: { name: repo }, id } })
  }
}

function interruptText(repo: string, commit: string): string {
  return (
    `\ninterrupted: commit ${repo}/${commit} is still open; to drop what was put, ` +
    `pachctl delete-commit ${repo} ${commit}; to keep it, pachctl finish-commit ${repo} ${commit}\n`
  )
}
