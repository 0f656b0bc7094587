import { BranchInfosBatchSchema, RepoInfosBatchSchema, Repos } from '../gen/pachyderm_pb.ts'
import type { Versioning } from '../versioning/versioning.ts'
import { service, type Route } from './grpc/service.ts'
import { batchedList } from './pfs/batched-list.ts'
import { branchInfoMessage, repoInfoMessage } from './pfs/messages.ts'
import { requireRepo } from './pfs/names.ts'
import { listedRepoMessage } from './pfs/repo-handlers.ts'

/** pachyderm.Repos: repos and branches of any number, and what else 1.5 cannot do with repos. */
export function reposRoutes({ repos, branches }: Versioning): readonly Route[] {
  return service(Repos, {
    listRepos: {
      encoded({ provenance }) {
        const names = provenance.map((source) => requireRepo(source, 'provenance'))
        return batchedList(RepoInfosBatchSchema, repos.latest({ provenance: names }), (info) => ({
          repoInfo: [listedRepoMessage(info)],
        }))
      },
    },

    async updateRepo({ repo, description }) {
      return repoInfoMessage(await repos.describe(requireRepo(repo), description))
    },

    listBranches: {
      encoded: ({ repo }) =>
        batchedList(BranchInfosBatchSchema, branches.latest(requireRepo(repo)), (info) => ({
          branchInfo: [branchInfoMessage(info)],
        })),
    },
  })
}
