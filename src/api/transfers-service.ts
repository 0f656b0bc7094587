import { PermissionDeniedError } from '../base/errors.ts'
import { Transfers } from '../gen/pachyderm_pb.ts'
import type { Pulls } from '../sources/pulls.ts'
import { service, type Route } from './grpc/service.ts'

/** pachyderm.Transfers. `isAllowed`: whether this server fetches anything. */
export function transfersRoutes(pulls: Pulls, isAllowed: boolean): readonly Route[] {
  return service(Transfers, {
    async *pull({ address, repos, withProvenance, onlyNew, dryRun }, { signal }) {
      if (!isAllowed) {
        throw new PermissionDeniedError(
          'this server fetches nothing from elsewhere (it runs with --sources none)',
        )
      }
      const request = {
        address,
        repos,
        withProvenance,
        onlyNew,
        isDryRun: dryRun,
      }
      for await (const event of pulls.pull(request, signal)) {
        if (event.kind === 'repo') {
          const { repo, commitCount, branches, ahead, tags, otherTags } = event.counts
          const value = {
            repo,
            commits: BigInt(commitCount),
            branches: [...branches],
            ahead: [...ahead],
            tags: [...tags],
            otherTags: [...otherTags],
          }
          yield { event: { case: 'repo', value } }
        } else {
          const { repo, commitsDone, commitsTotal, fileCount, cameBytes } = event
          const value = {
            repo,
            commitsDone: BigInt(commitsDone),
            commitsTotal: BigInt(commitsTotal),
            files: BigInt(fileCount),
            bytes: BigInt(cameBytes),
          }
          yield { event: { case: 'progress', value } }
        }
      }
    },
  })
}
