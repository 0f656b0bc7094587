import type { API } from '../../gen/pfs_pb.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { repoInfoMessage } from './messages.ts'
import { requireRepo } from './names.ts'

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
    async listRepo({ provenance }) {
      const names = provenance.map((source) => requireRepo(source, 'provenance'))
      const infos = await repos.list({ provenance: names })
      return { repoInfo: infos.map(repoInfoMessage) }
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
