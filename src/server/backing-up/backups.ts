import type { RepoRestores } from '../../api/repo-restores.ts'
import { Backup } from '../../backups/backup.ts'
import type { ExtractedStore } from '../../backups/extraction.ts'
import { pauses } from '../../backups/damaged-objects.ts'
import { ObjectStorePlace } from '../../backups/object-store-place.ts'
import { forgetSnapshots, newest } from '../../backups/retention.ts'
import type { BackupSecret } from '../../backups/sealing.ts'
import { factsOf, otherStoreText } from '../../backups/snapshot-choice.ts'
import { StoreBackups } from '../../backups/store-backups.ts'
import type { TakenBackup } from '../../backups/taking.ts'
import type { Clock } from '../../base/clock.ts'
import { DomainError, FailedPreconditionError, NotFoundError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { parseSchedule } from '../../pipelines/cron-ticker.ts'
import type { Pulls } from '../../sources/pulls.ts'
import { countStore } from '../../versioning/store-counts.ts'
import { startBackgroundTask } from '../background-task.ts'
import { backupPlaces } from '../backup-places.ts'
import type { BackupConfig, ServerConfig } from '../server-config.ts'
import type { Log } from '../log.ts'
import { parseBucketPlace } from '../bucket-place.ts'
import { migrations } from '../migrations.ts'
import type { OwnPlaces } from '../own-places.ts'
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
import { readSecretFile } from './secret-file.ts'
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
  const own = ownPlacesOf(stores)
  return new StoreBackups({
    store: extractedStore(stores, ports),
    openPlace: placesOf(config, ports, own),
    ownBackupId: async () =>
      await Backup.open(new ObjectStorePlace('objects', objects), { random }).then(
        ({ id }) => id,
        (error: unknown) => {
          // None, or a damaged one: then there is nothing to be mistaken for it.
          if (error instanceof DomainError) return undefined
          throw error
        },
      ),
    restore: {
      objects,
      directory: restoreDirectory(root),
      restored: restoredMetadata(root),
      objectsDirectory: stores.bucketUrl === undefined ? directory.objects : undefined,
      migrations,
      storeId: directory.store.id,
      release,
      clock,
    },
    requireEmpty: async () => {
      await requireEmptyStore(database, root)
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
  { clouds = noClouds, clock, random }: Pick<ServerPorts, 'clouds' | 'clock' | 'random'>,
  own?: OwnPlaces,
): ReturnType<typeof backupPlaces> {
  const configured = backup?.to
  return backupPlaces({
    clouds,
    clock,
    random,
    directories: configured === undefined ? [] : [configured],
    reach: sources,
    configured,
    ...(own !== undefined && { own }),
  })
}

function ownPlacesOf({ directory: { root }, bucketUrl }: Stores): OwnPlaces {
  return { root, bucket: bucketUrl === undefined ? undefined : parseBucketPlace(bucketUrl) }
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
  const { packs } = chunks
  const count = countStore
  return { database, metadata, count, objects, packs, scratchDirectory, release, clock }
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
    clock,
    random,
    directories: [backup.to],
    reach: 'any',
  })
  const secret = await readSecretFile(backup.secretFile)
  const parts = { backups, places, config: backup, secret, clock, random, log }
  return startBackgroundTask('making backups', log, async (signal) => {
    await tellUnusable(parts, signal)
    let damaged: readonly string[] = []
    for (;;) {
      const next = schedule.after(clock.now())
      if (next === undefined) return
      for (let restMs = 1; restMs > 0;) {
        restMs = (next - clock.now()) / microsPerMs
        if (restMs > 0) await clock.sleep(Math.min(restMs, sleepMsMax), signal)
      }
      damaged = await backUpOnce(parts, damaged, signal)
    }
  })
}

/** A place that no backup can be made in is told at once, and not when the first one is due. */
async function tellUnusable(
  { places, config: { to }, secret, random, log }: ScheduleParts,
  signal: AbortSignal,
): Promise<void> {
  try {
    await using place = await places(to, signal)
    await Backup.open(place, { secret, random })
  } catch (error) {
    if (signal.aborted) throw error
    // There is none yet.
    if (error instanceof NotFoundError) return
    log.error('no backup can be made as things are', told(error))
  }
}

/**
 * What goes wrong is told; the next time may be better, and what was written is not written again, but for what
 * is `damaged`. Returns what is then.
 */
async function backUpOnce(
  { backups, places, config, secret, clock, random, log }: ScheduleParts,
  damaged: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { to: url, keepCount } = config
  const startMs = clock.monotonicMs()
  let taken: TakenBackup
  try {
    taken = await backups.take(
      { url, secret },
      { scope: 'whole', skipsDamaged: false, damaged, signal },
    )
    const { name: snapshot, objectsWritten, bytesWritten } = taken
    const tookMs = Math.round(clock.monotonicMs() - startMs)
    log.info('made a backup', { snapshot, objectsWritten, bytesWritten, tookMs })
  } catch (error) {
    if (signal.aborted) throw error
    log.error('no backup was made', told(error))
    return damaged
  }
  try {
    await using place = await places(url, signal, 'write')
    const backup = await Backup.open(place, { secret, random })
    const pause = pauses(clock, signal, 'forgetting old backups')
    const { other } = taken
    if (other !== undefined) {
      const facts = { before: factsOf(other), made: factsOf(taken) }
      log.warning('another store is backed up there, too', {
        what: otherStoreText(place.name, facts),
      })
    }
    const { store } = taken.snapshot
    const forgotten = await forgetSnapshots(backup, newest(keepCount), { store, pause })
    const { names, objectsRemoved } = forgotten
    if (names.length > 0) {
      log.info('forgot old backups', { snapshots: names.length, objectsRemoved })
    }
    for (const what of forgotten.unreadable) log.warning(unreadableText, { what })
    if (forgotten.damaged.length > 0) {
      log.warning(damagedText, { place: place.name, objects: forgotten.damaged.length })
    }
    return forgotten.damaged
  } catch (error) {
    if (signal.aborted) throw error
    log.error('no old backup was forgotten', told(error))
    return []
  }
}

const damagedText =
  'the backup holds objects that are damaged: old snapshots that are whole stay instead, and the next backup writes anew what this server still has; pachctl verify-backup says which snapshots are damaged'

const unreadableText =
  'a snapshot of the backup cannot be read, and nothing can be restored from it: take it from another copy of the backup, or have it removed by pachctl extract --repair'

/** What somebody can act on is said in words; of a bug, where it was met, too. */
function told(error: unknown): unknown {
  return error instanceof DomainError ? error.message : error
}
