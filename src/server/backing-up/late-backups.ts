import type { RepoRestores } from '../../api/repo-restores.ts'
import type { StoreBackups } from '../../backups/store-backups.ts'
import { DomainError } from '../../base/errors.ts'
import { onDemand } from '../../base/on-demand.ts'
import type { Pulls } from '../../sources/pulls.ts'
import { startBackgroundTask } from '../background-task.ts'
import { metadataCopyMinutesDefault, type ServerConfig } from '../server-config.ts'
import type { ServerPorts } from '../ports.ts'
import type { Stores } from '../stores.ts'

const msPerMinute = 60_000
/** After a start, so that a server that does not run for long has a copy, too; unless there is a young one. */
const firstCopyMs = msPerMinute

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
  config: Pick<ServerConfig, 'root' | 'sources' | 'backup' | 'metadataCopyMinutes'>,
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
  opened.use(startMetadataCopies(stores, config, ports))
  return async () => {
    const { openRepoRestores } = await import('./backups.ts')
    const repoRestores = openRepoRestores(stores, await pulls(), config, ports)
    return { backups: await backups(), repoRestores }
  }
}

/**
 * Keeps copies of the metadata beside the packs, so that a store can be put together from its objects alone.
 * One is made when something has changed since the last.
 */
function startMetadataCopies(
  stores: Stores,
  config: Pick<ServerConfig, 'metadataCopyMinutes'>,
  ports: ServerPorts,
): AsyncDisposable {
  const { clock, log, random } = ports
  const { metadataCopyMinutes = metadataCopyMinutesDefault } = config
  if (metadataCopyMinutes === 0) return new AsyncDisposableStack()
  const everyMs = metadataCopyMinutes * msPerMinute
  return startBackgroundTask('copying the metadata', log, async (signal) => {
    let last: string | undefined
    let isFirst = true
    await clock.sleep(Math.min(firstCopyMs, everyMs), signal)
    for (;;) {
      try {
        const { copyMetadata, metadataCopies, msUntilDue } = await import('./metadata-copies.ts')
        const { extractedStore } = await import('./backups.ts')
        const store = extractedStore(stores, ports)
        const backup = await metadataCopies(stores.objects, random)
        if (isFirst) {
          isFirst = false
          await clock.sleep(await msUntilDue(backup, everyMs, clock), signal)
        }
        last = await copyMetadata(store, backup, { last, signal })
      } catch (error) {
        if (signal.aborted || !(error instanceof DomainError)) throw error
        log.error('the metadata were not copied', error)
      }
      await clock.sleep(everyMs, signal)
    }
  })
}
