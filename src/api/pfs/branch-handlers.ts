import type { API } from '../../gen/pfs_pb.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { branchInfoMessage } from './messages.ts'
import { requireCommit, requireRepo, requireText } from './names.ts'

export function branchHandlers({ branches }: Versioning): ServiceHandlers<typeof API> {
  return {
    async listBranch({ repo }) {
      const infos = await branches.list(requireRepo(repo))
      return { branchInfo: infos.map(branchInfoMessage) }
    },

    async setBranch({ commit, branch }) {
      const head = requireCommit(commit)
      await branches.set(head.repo, requireBranch(branch), head.commit)
      return {}
    },

    async deleteBranch({ repo, branch }) {
      await branches.delete(requireRepo(repo), requireBranch(branch))
      return {}
    },
  }
}

export function requireBranch(branch: string): string {
  return requireText(branch, 'branch', 'a branch name is needed')
}
