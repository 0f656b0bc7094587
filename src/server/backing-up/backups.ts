import { readFile } from 'node:fs/promises'
import type { RepoRestores } from '../../api/repo-restores.ts'
import { Backup } from '../../backups/backup.ts'
import type { ExtractedStore } from '../../backups/extraction.ts'
import { forgetSnapshots, newest } from '../../backups/retention.ts'
import { type BackupSecret, parseKey, parsePassphrase } from '../../backups/sealing.ts'
import { StoreBackups } from '../../backups/store-backups.ts'
import type { Clock } from '../../base/clock.ts'
import { FailedPreconditionError } from '../../base/errors.ts'
import { isSourceUrl } from '../../base/source-urls.ts'
import type { Random } from '../../base/random.ts'
import { parseSchedule } from '../../pipelines/cron-ticker.ts'
import type { Pulls } from '../../sources/pulls.ts'
import { directoryError } from '../../storage/file-errors.ts'
import { startBackgroundTask } from '../background-task.ts'
import { backupPlaces } from '../backup-places.ts'
import type { BackupConfig, SecretFile, ServerConfig } from '../command-line.ts'
import type { Log } from '../log.ts'
import { migrations } from '../migrations.ts'
import { noClouds, type ServerPorts } from '../ports.ts'
import { OpenRepoRestores } from './repo-restores.ts'
import {
  noteRestored,
  repoRestoreDirectory,
  requireEmptyStore,
  restoredFrom,
  restoredMetadata,
  restoreDirectory,
} from './restored-metadata.ts'
import type { Stores } from '../stores.ts'

const microsPerMs = 1000
/** Timers hold no longer. */
const sleepMsMax = 86_400_000

/** What makes backups of these stores, and restores into them. */
export function storeBackups(
  stores: Stores,
  config: Pick<ServerConfig, 'root' | 'sources' | 'backup'>,
  ports: ServerPorts,
): StoreBackups {
  const { clock, random, release, restart } = ports
  const { root } = config
  const { database, objects, directory } = stores
  return new StoreBackups({
    store: extractedStore(stores, ports),
    openPlace: placesOf(config, ports),
    restore: {
      objects,
      directory: restoreDirectory(root),
      restored: restoredMetadata(root),
      migrations,
      storeId: directory.store.id,
      release,
      clock,
    },
    requireEmpty: async () => {
      await requireEmptyStore(database)
    },
    restoredFrom: async () => await restoredFrom(root),
    noteRestored: async (snapshot) => {
      await noteRestored(root, snapshot)
    },
    restart: () => {
      if (restart === undefined)
        throw new FailedPreconditionError('this server cannot start itself once more: restart it')
      restart()
    },
    random,
    clock,
  })
}

/** Where backups may be that callers name. */
function placesOf(
  { sources = 'any', backup }: Pick<ServerConfig, 'sources' | 'backup'>,
  { clouds = noClouds }: Pick<ServerPorts, 'clouds'>,
): ReturnType<typeof backupPlaces> {
  const configured = backup?.to
  return backupPlaces({
    clouds,
    directories: configured === undefined || isSourceUrl(configured) ? [] : [configured],
    allowsStores: sources !== 'none',
    configured,
  })
}

/** What brings chosen repos of backups into these stores. */
export function openRepoRestores(
  { directory }: Stores,
  pulls: Pulls,
  config: Pick<ServerConfig, 'root' | 'sources' | 'backup'>,
  ports: ServerPorts,
): RepoRestores {
  return new OpenRepoRestores({
    ...ports,
    migrations,
    pulls,
    openPlace: placesOf(config, ports),
    storeId: directory.store.id,
    directory: repoRestoreDirectory(config.root),
  })
}

export function extractedStore(
  { database, directory, objects, chunks }: Stores,
  { release, clock }: Pick<ServerPorts, 'release' | 'clock'>,
): ExtractedStore {
  const { metadata, scratch: scratchDirectory } = directory
  return { database, metadata, objects, packs: chunks.packs, scratchDirectory, release, clock }
}

/** @throws {FailedPreconditionError} when it cannot be read. @throws {InvalidArgumentError} */
export async function readSecretFile(
  file: SecretFile | undefined,
): Promise<BackupSecret | undefined> {
  if (file === undefined) return undefined
  const { kind, path } = file
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw directoryError(error, `the file with the ${kind} of backups, ${path}`, path)
  })
  return kind === 'key' ? parseKey(text) : parsePassphrase(text)
}

interface ScheduleParts {
  readonly backups: StoreBackups
  readonly places: ReturnType<typeof backupPlaces>
  readonly config: BackupConfig
  readonly secret: BackupSecret | undefined
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** Makes backups at the times of the schedule, one after another, and forgets old ones. */
export async function startBackupSchedule(
  backups: StoreBackups,
  config: Pick<ServerConfig, 'backup'>,
  ports: ServerPorts,
): Promise<AsyncDisposable> {
  const { backup } = config
  const { clock, random, log, clouds } = ports
  if (backup?.every === undefined) return new AsyncDisposableStack()
  const schedule = await parseSchedule(backup.every, 'UTC')
  const places = backupPlaces({
    clouds: clouds ?? noClouds,
    directories: [backup.to],
    allowsStores: true,
  })
  const secret = await readSecretFile(backup.secretFile)
  const parts = { backups, places, config: backup, secret, clock, random, log }
  return startBackgroundTask('making backups', log, async (signal) => {
    for (;;) {
      const next = schedule.after(clock.now())
      if (next === undefined) return
      for (let restMs = 1; restMs > 0;) {
        restMs = (next - clock.now()) / microsPerMs
        if (restMs > 0) await clock.sleep(Math.min(restMs, sleepMsMax), signal)
      }
      await backUpOnce(parts, signal)
    }
  })
}

/** What goes wrong is told; the next time may be better, and what was written is not written again. */
async function backUpOnce(
  { backups, places, config, secret, clock, random, log }: ScheduleParts,
  signal: AbortSignal,
): Promise<void> {
  const { to: url, keepCount } = config
  const startMs = clock.monotonicMs()
  try {
    const taken = await backups.take(
      { url, secret },
      { scope: 'whole', skipsDamaged: false, signal },
    )
    const { name: snapshot, objectsWritten, bytesWritten } = taken
    const tookMs = Math.round(clock.monotonicMs() - startMs)
    log.info('made a backup', { snapshot, objectsWritten, bytesWritten, tookMs })
    await using place = await places(url, signal)
    const backup = await Backup.open(place, { secret, random })
    const forgotten = await forgetSnapshots(backup, newest(keepCount))
    if (forgotten.names.length === 0) return
    const { names, objectsRemoved } = forgotten
    log.info('forgot old backups', { snapshots: names.length, objectsRemoved })
  } catch (error) {
    if (signal.aborted) throw error
    log.error('no backup was made', error)
  }
}
