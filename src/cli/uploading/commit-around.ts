import type { CommandContext } from '../command.ts'
import { LeftOpenError } from '../errors.ts'

const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Opens a commit on a branch, runs `work` with its id, and finishes it. When `work` failed, the
 * commit is deleted, since an empty one would only start jobs; but it is finished, as 1.5 does, when
 * `hasPut` says that some of it was stored.
 * An interrupt, or another signal that ends the process, leaves the commit open, and it is said what to do with
 * it: what was put so far is seldom what was meant.
 *
 * @throws {LeftOpenError} when the commit could not be closed either; its cause is the first failure.
 */
export async function commitAround(
  context: CommandContext,
  target: {
    readonly repo: string
    readonly branch: string
    readonly message?: string
    readonly hasPut?: () => boolean
  },
  work: (commit: string) => Promise<void>,
): Promise<void> {
  // Loaded here: without --commit, nothing but contents is sent, which needs no generated code.
  const { pfsClient } = await import('../pfs-client.ts')
  const pfs = pfsClient(context)
  const { repo, branch, message = '', hasPut = () => false } = target
  const { id } = await pfs.startCommit({ parent: { repo: { name: repo } }, branch, message })
  const commit = { repo: { name: repo }, id }
  const tellAndEnd = (signal: NodeJS.Signals): void => {
    for (const name of endingSignals) process.off(name, tellAndEnd)
    process.stderr.write(`\ninterrupted: ${stillOpenText(repo, id)}\n`)
    // No handler is left, so this is what it would have been.
    process.kill(process.pid, signal)
  }
  for (const name of endingSignals) process.once(name, tellAndEnd)
  try {
    await work(id)
  } catch (error) {
    const closing = hasPut() ? pfs.finishCommit({ commit }) : pfs.deleteCommit({ commit })
    // What went wrong first explains the rest.
    await closing.catch(() => {
      throw new LeftOpenError(stillOpenText(repo, id), { cause: error })
    })
    throw error
  } finally {
    for (const name of endingSignals) process.off(name, tellAndEnd)
  }
  await pfs.finishCommit({ commit }).catch((error: unknown) => {
    throw new LeftOpenError(stillOpenText(repo, id), { cause: error })
  })
}

function stillOpenText(repo: string, commit: string): string {
  return (
    `commit ${repo}/${commit} is still open; to drop what was put, ` +
    `pachctl delete-commit ${repo} ${commit}; to keep it, pachctl finish-commit ${repo} ${commit}`
  )
}
