import { shownText } from '../../base/short-texts.ts'
import { type API, RepoInfosSchema } from '../../gen/pfs_pb.ts'
import type { RepoInfo } from '../../versioning/repos.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { repoInfoMessage } from './messages.ts'
import { requireRepo } from './names.ts'
import { streamedBy, wholeList } from './single-message.ts'

/** A description that is longer than they may be now is cut, so that it does not keep the others from being told. */
export function listedRepoMessage(info: RepoInfo): ReturnType<typeof repoInfoMessage> {
  return repoInfoMessage({ ...info, description: shownText(info.description) })
}

export function repoHandlers({ repos }: Versioning): ServiceHandlers<typeof API> {
  return {
    async createRepo({ repo, provenance, description, update }) {
      await repos.create({
        name: requireRepo(repo),
        provenance: provenance.map((source) => requireRepo(source, 'provenance')),
        description,
        update,
      })
      return {}
    },

    async inspectRepo({ repo }) {
      return repoInfoMessage(await repos.inspect(requireRepo(repo)))
    },

    /** Without access control there are no scopes to tell, whatever `include_auth` says. */
    listRepo: {
      encoded: ({ provenance }) => {
        const names = provenance.map((source) => requireRepo(source, 'provenance'))
        return wholeList(RepoInfosSchema, repos.pages({ provenance: names }), {
          encode: ({ info }) => ({ repoInfo: [listedRepoMessage(info)] }),
          rank: ({ written }) => written,
          advice: `${streamedBy('list-repo', 'Repos/ListRepos')}; or ask for those that are made from some repo, with --provenance`,
        })
      },
    },

    async deleteRepo({ repo, force, all }) {
      if (all) await repos.deleteAll()
      else await repos.delete(requireRepo(repo), { force })
      return {}
    },

    async deleteAll() {
      await repos.deleteAll()
      return {}
    },
  }
}
