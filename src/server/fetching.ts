import type { filesRoutes } from '../api/files-service.ts'
import { onDemand } from '../base/on-demand.ts'
import type { Pulls } from '../sources/pulls.ts'
import { KeptTransfers } from '../versioning/kept-transfers.ts'
import type { CommitUses, OnHeadReady } from '../versioning/ports.ts'
import type { Versioning } from '../versioning/versioning.ts'
import type { ServerConfig } from './server-config.ts'
import { noClouds, type ServerPorts } from './ports.ts'
import type { Stores } from './stores.ts'

type Fetching = Pick<Parameters<typeof filesRoutes>[2], 'puts' | 'history'> & {
  readonly pulls: () => Promise<Pulls>
}

/** What brings files from elsewhere, loaded when somebody asks for something from there. */
export function createFetching(
  stores: Stores,
  parts: {
    readonly versioning: Versioning
    readonly onHeadReady: OnHeadReady
    readonly uses: CommitUses
  },
  config: Pick<ServerConfig, 'sources'>,
  ports: ServerPorts,
): Fetching {
  const { clouds = noClouds, clock } = ports
  const { versioning } = parts
  const sources = onDemand(async () => {
    const { Sources } = await import('../sources/sources.ts')
    const reach = config.sources ?? 'any'
    return new Sources({ ...ports, chunks: stores.chunks, clouds, reach })
  })
  const puts = onDemand(async () => {
    const { SourcePuts } = await import('../sources/source-puts.ts')
    const from = { kept: new KeptTransfers({ ...stores, clock }), sources: await sources() }
    return new SourcePuts({ ...stores, ...versioning, ...ports, ...from })
  })
  const history = onDemand(async () => {
    const { HistoryPuts } = await import('../sources/history-puts.ts')
    return new HistoryPuts({ ...stores, ...versioning, sources: await sources() })
  })
  return {
    puts: { put: async (...given) => await (await puts()).put(...given) },
    history: { put: async (...given) => await (await history()).put(...given) },
    pulls: onDemand(async () => {
      const { PulledRepos } = await import('../versioning/pulled-repos.ts')
      const { Pulls: Pulling } = await import('../sources/pulls.ts')
      const repos = new PulledRepos({ ...stores, ...parts })
      return new Pulling({ ...stores, sources: await sources(), repos })
    }),
  }
}
