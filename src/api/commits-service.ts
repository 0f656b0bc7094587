import { CommitInfosBatchSchema, Commits } from '../gen/pachyderm_pb.ts'
import type { BranchTriggers } from '../pipelines/branch-triggers.ts'
import type { Versioning } from '../versioning/versioning.ts'
import { branchChangeMessage, preferenceOf, requireInto } from './commits/branch-change.ts'
import { branchTriggerHandlers } from './commits/branch-triggers.ts'
import { commitTagHandlers } from './commits/commit-tags.ts'
import { heldCommitHandlers } from './commits/held-commit.ts'
import { deletedBatches } from './commits/deleted-batches.ts'
import { service, type Route } from './grpc/service.ts'
import { batchedList, onePages } from './pfs/batched-list.ts'
import { flushedNames, listOptions } from './pfs/commit-handlers.ts'
import { commitInfoMessage } from './pfs/messages.ts'
import { requireCommit } from './pfs/names.ts'

/** pachyderm.Commits: what 1.5 cannot do with commits. */
export function commitsRoutes(
  versioning: Versioning,
  branchTriggers: BranchTriggers,
): readonly Route[] {
  const { branchChanges, commits, deletions, subscriptions } = versioning
  return service(Commits, {
    ...commitTagHandlers(versioning),
    ...heldCommitHandlers(versioning),
    ...branchTriggerHandlers(branchTriggers),

    listCommits: {
      encoded: (request) =>
        batchedList(
          CommitInfosBatchSchema,
          onePages(commits.list(listOptions(request))),
          (info) => ({
            commitInfo: [commitInfoMessage(info)],
          }),
        ),
    },

    async mergeBranch({ from, into, message, dryRun, prefer }, { signal }) {
      const { repo, commit } = requireCommit(from, 'from')
      const names = { repo, from: commit, into: requireInto(into) }
      const options = { message, dryRun, prefer: preferenceOf(prefer), signal }
      return branchChangeMessage(await branchChanges.merge(names, options))
    },

    async revertCommit({ commit: name, branch, message, dryRun, prefer }, { signal }) {
      const names = { ...requireCommit(name), branch: branch === '' ? undefined : branch }
      const options = { message, dryRun, prefer: preferenceOf(prefer), signal }
      return branchChangeMessage(await branchChanges.revert(names, options))
    },

    async flushCauses(request) {
      return { causes: [...(await subscriptions.flushCauses(flushedNames(request)))] }
    },

    async *deleteCommits({ commits: names, dryRun }, { signal }) {
      const doomed = names.map((name) => requireCommit(name, 'commits'))
      yield* deletedBatches(await deletions.delete(doomed, { dryRun, signal }))
    },
  })
}
