import type { RepoRestores } from '../../api/repo-restores.ts'
import type { StoreBackups } from '../../backups/store-backups.ts'
import { onDemand } from '../../base/on-demand.ts'
import type { Pulls } from '../../sources/pulls.ts'
import type { ServerConfig } from '../server-config.ts'
import type { ServerPorts } from '../ports.ts'
import type { Stores } from '../stores.ts'

interface OpenBackups {
  readonly backups: StoreBackups
  /** What brings chosen repos of backups into these stores. */
  readonly repoRestores: RepoRestores
}

/**
 * What makes backups of these stores, by itself too, and restores into them. It is loaded when a backup is
 * asked for or due.
 */
export async function openBackups(
  opened: AsyncDisposableStack,
  { stores, pulls }: { readonly stores: Stores; readonly pulls: () => Promise<Pulls> },
  config: Pick<ServerConfig, 'root' | 'sources' | 'backup'>,
  ports: ServerPorts,
): Promise<() => Promise<OpenBackups>> {
  const held = opened.use(new AsyncDisposableStack())
  const backups = onDemand(async () => {
    const { storeBackups } = await import('./backups.ts')
    return held.use(storeBackups(stores, config, ports))
  })
  if (config.backup?.every !== undefined) {
    const { startBackupSchedule } = await import('./backups.ts')
    opened.use(await startBackupSchedule(await backups(), config, ports))
  }
  return async () => {
    const { openRepoRestores } = await import('./backups.ts')
    const repoRestores = openRepoRestores(stores, await pulls(), config, ports)
    return { backups: await backups(), repoRestores }
  }
}
