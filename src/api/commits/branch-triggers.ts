import type { Commits } from '../../gen/pachyderm_pb.ts'
import type { BranchTriggers } from '../../pipelines/branch-triggers.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { requireBranch } from '../pfs/branch-handlers.ts'
import { triggerMessage, triggerOfRequest } from '../pfs/branch-trigger.ts'
import { requireRepo } from '../pfs/names.ts'

export function branchTriggerHandlers(
  triggers: BranchTriggers,
): Pick<ServiceHandlers<typeof Commits>, 'setBranchTrigger' | 'listBranchTriggers'> {
  return {
    async setBranchTrigger({ repo: named, branch: name, trigger }) {
      const [repo, branch] = [requireRepo(named), requireBranch(name)]
      if (trigger === undefined) await triggers.remove(repo, branch)
      else await triggers.set(repo, branch, triggerOfRequest(trigger))
      return {}
    },

    async *listBranchTriggers({ repo }) {
      for await (const page of triggers.pages(repo === undefined ? '' : requireRepo(repo))) {
        yield {
          triggers: page.map((trigger) => ({
            repo: { name: trigger.repo },
            branch: trigger.branch,
            trigger: triggerMessage(trigger),
            addedBytes: BigInt(trigger.addedBytes),
            addedCommits: BigInt(trigger.addedCount),
            ...(trigger.owner !== '' && { pipeline: { name: trigger.owner } }),
          })),
        }
      }
    },
  }
}
