import { type API, BranchInfosSchema } from '../../gen/pfs_pb.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { branchInfoMessage } from './messages.ts'
import { requireCommit, requireRepo, requireText } from './names.ts'
import { streamedBy, wholeList } from './single-message.ts'

export function branchHandlers({ branches }: Versioning): ServiceHandlers<typeof API> {
  return {
    listBranch: {
      encoded: async ({ repo }) =>
        wholeList(BranchInfosSchema, branches.pages(requireRepo(repo)), {
          encode: (info) => ({ branchInfo: [branchInfoMessage(info)] }),
          rank: ({ written }) => written,
          advice: `${streamedBy('list-branch', 'Repos/ListBranches')}; a commit is inspected by the name of its branch`,
        }),
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
