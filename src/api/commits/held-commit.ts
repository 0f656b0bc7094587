import type { Commits } from '../../gen/pachyderm_pb.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { commitMessage } from '../pfs/messages.ts'
import { requireRepo, requireText } from '../pfs/names.ts'

/** HoldCommit: the commit is given up when the call ends, if it is open then. */
export function heldCommitHandlers({
  commits,
}: Pick<Versioning, 'commits'>): ServiceHandlers<typeof Commits> {
  return {
    async *holdCommit({ repo: named, branch, message }, { signal }) {
      const { repo, id } = await commits.hold({
        repo: requireRepo(named),
        branch: requireText(branch, 'branch', 'a branch name is needed'),
        message,
      })
      try {
        yield { commit: commitMessage(repo, id) }
        await untilAborted(signal)
      } finally {
        await commits.giveUp(repo, id)
      }
    },
  }
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
}
