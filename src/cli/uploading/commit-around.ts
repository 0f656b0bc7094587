import type { CommandContext } from '../command.ts'

/** Opens a commit on a branch, runs `work` with its id, and finishes it, even when `work` failed. */
export async function commitAround(
  context: CommandContext,
  { repo, branch }: { readonly repo: string; readonly branch: string },
  work: (commit: string) => Promise<void>,
): Promise<void> {
  // Loaded here: without --commit, nothing but contents is sent, which needs no generated code.
  const { pfsClient } = await import('../pfs-client.ts')
  const pfs = pfsClient(context)
  const { id } = await pfs.startCommit({ parent: { repo: { name: repo } }, branch })
  try {
    await work(id)
  } finally {
    await pfs.finishCommit({ commit: { repo: { name: repo }, id } })
  }
}
