import type { CommandContext } from '../command.ts'

/**
 * Opens a commit on a branch, runs `work` with its id, and finishes it, as 1.5 does even when `work`
 * failed; with `failed: 'delete'`, it is then deleted.
 * An interrupt ends the process with the commit open, and says what to do with it: what was put
 * so far is seldom what was meant.
 */
export async function commitAround(
  context: CommandContext,
  target: {
    readonly repo: string
    readonly branch: string
    readonly message?: string
    readonly failed?: 'finish' | 'delete'
  },
  work: (commit: string) => Promise<void>,
): Promise<void> {
  // Loaded here: without --commit, nothing but contents is sent, which needs no generated code.
  const { pfsClient } = await import('../pfs-client.ts')
  const pfs = pfsClient(context)
  const { repo, branch, message = '', failed = 'finish' } = target
  const { id } = await pfs.startCommit({ parent: { repo: { name: repo } }, branch, message })
  const tellAndEnd = (): void => {
    process.stderr.write(interruptText(repo, id))
    // No handler is left, so this is what it would have been.
    process.kill(process.pid, 'SIGINT')
  }
  process.once('SIGINT', tellAndEnd)
  let isDone = false
  try {
    await work(id)
    isDone = true
  } finally {
    process.off('SIGINT', tellAndEnd)
    const commit = { repo: { name: repo }, id }
    if (isDone || failed === 'finish') await pfs.finishCommit({ commit })
    else await pfs.deleteCommit({ commit })
  }
}

function interruptText(repo: string, commit: string): string {
  return (
    `\ninterrupted: commit ${repo}/${commit} is still open; to drop what was put, ` +
    `pachctl delete-commit ${repo} ${commit}; to keep it, pachctl finish-commit ${repo} ${commit}\n`
  )
}
