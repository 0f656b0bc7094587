import { stat } from 'node:fs/promises'
import { Backup } from '../../backups/backup.ts'
import { snapshotKey } from '../../backups/format.ts'
import { ObjectStorePlace } from '../../backups/object-store-place.ts'
import { Restore } from '../../backups/restoring.ts'
import { readForRestore } from '../../backups/store-backups.ts'
import {
  CancelledError,
  DataLossError,
  FailedPreconditionError,
  NotFoundError,
} from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { sizeText } from '../../base/sizes.ts'
import type { CloudEnvironment } from '../../clouds/bucket.ts'
import { openSqlite } from '../../database/sqlite.ts'
import { damageOfPack, packKey } from '../../storage/pack-bytes.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { openPackPlaces } from '../pack-places.ts'
import type { PackPlaces } from '../pack-places-ports.ts'
import { readSecretFile } from './backups.ts'
import { backupPlaces } from '../backup-places.ts'
import type { PachdCommand } from '../command-line.ts'
import { type DataDirectory, openDataDirectory } from '../data-directory.ts'
import { migrations } from '../migrations.ts'
import type { ServerPorts } from '../ports.ts'
import { moveMetadataAside } from './metadata-aside.ts'
import {
  applyRestored,
  noteRestored,
  requireEmptyStore,
  restoredMetadata,
  restoreDirectory,
} from './restored-metadata.ts'

export interface OfflineRestorePorts extends Pick<
  ServerPorts,
  'clock' | 'random' | 'log' | 'release'
> {
  readonly clouds: CloudEnvironment
  readonly signal: AbortSignal
}

const msPerSecond = 1000

/**
 * Makes a data directory of a backup; yields lines for people. It must be new, or of an empty store.
 * Stopped at any step, it goes on when it is called again; until it has ended no server starts on it.
 */
export async function* restoreDirectoryFrom(
  command: Extract<PachdCommand, { readonly kind: 'restore' }>,
  ports: OfflineRestorePorts,
): AsyncGenerator<string> {
  const { root, from, snapshot, secretFile } = command
  const { clock, random, signal, log } = ports
  const secret = await readSecretFile(secretFile)
  const open = backupPlaces({ clouds: ports.clouds, directories: [from], allowsStores: true })
  await requireDirectory(from)
  await using place = await open(from, signal)
  const backup = await Backup.open(place, { secret, random })
  const name = await backup.find(snapshot)
  const bytes = await backup.read(snapshotKey(name))
  await using directory = await openDataDirectory(root, random)
  await requireEmpty(directory, ports)
  // From here on a server that is started says that the metadata are missing.
  await directory.settle()
  await using packs = await openObjects(directory, ports)
  const { objects } = packs
  await using restore = await beginRestore(directory, objects, { name, bytes }, ports)
  const { keys, totalCount, sizeBytes } = await restore.missing()
  yield `restoring snapshot ${name}: ${keys.length} of ${totalCount} objects are to come, ${sizeText(sizeBytes)}`
  const startMs = clock.monotonicMs()
  for (const key of keys) {
    if (signal.aborted) {
      throw new CancelledError('the restore was stopped; the same command goes on with it')
    }
    await restore.put(key, await readForRestore(backup, key))
  }
  await noteRestored(root, name)
  await restore.complete()
  await applyRestored(directory, log)
  const seconds = ((clock.monotonicMs() - startMs) / msPerSecond).toFixed(1)
  yield `restored ${root} in ${seconds} s; start it with pachd --root ${root}, and look through it with pachctl fsck`
}

/**
 * Reads all packs that the metadata list, and takes from a backup those that are missing or damaged; yields
 * lines for people. Packs have the same names in every backup, so any that has them will do.
 *
 * @throws {DataLossError} at the end, when the backup lacks one.
 */
export async function* restorePacks(
  command: Extract<PachdCommand, { readonly kind: 'restore-packs' }>,
  ports: OfflineRestorePorts,
): AsyncGenerator<string> {
  const { root, from, secretFile } = command
  const { clock, random, release, signal } = ports
  const secret = await readSecretFile(secretFile)
  await requireDirectory(from)
  const open = backupPlaces({ clouds: ports.clouds, directories: [from], allowsStores: true })
  await using place = await open(from, signal)
  const backup = await Backup.open(place, { secret, random })
  await using directory = await openDataDirectory(root, random)
  const { metadata: path, store } = directory
  await using database = await openSqlite({ path, migrations, clock, release, store })
  await using packs = await openObjects(directory, ports)
  const { objects } = packs
  let [restoredCount, lostCount] = [0, 0]
  const rows = await database.read((tx) =>
    tx.all<ListedPackRow>('SELECT name, size_bytes AS sizeBytes FROM packs ORDER BY name'),
  )
  for (const { name, sizeBytes } of rows) {
    if (signal.aborted) throw new CancelledError('stopped; the same command begins anew')
    if (await isWholePack(objects, name, sizeBytes)) continue
    const bytes = await backup.read(packKey(name)).catch((error: unknown) => {
      if (error instanceof NotFoundError || error instanceof DataLossError) return undefined
      throw error
    })
    if (bytes === undefined || (await damageOfPack(name, bytes, noPause)).length > 0) {
      lostCount += 1
      yield `pack ${name} is missing or damaged, and the backup does not have it whole`
      continue
    }
    // What is damaged is in the way; the one that comes has been looked at.
    await objects.delete(packKey(name))
    await objects.putIfAbsent(packKey(name), [bytes])
    restoredCount += 1
  }
  yield `restored ${restoredCount} of ${restoredCount + lostCount} packs that were missing or damaged`
  if (lostCount > 0) {
    throw new DataLossError(
      `the backup lacks ${lostCount} packs: pachd --root ${root} --fsck --full says what that concerns`,
    )
  }
}

/** In the directory, or in the bucket that it notes; what is put there is uploaded by the next start, too. */
async function openObjects(
  directory: DataDirectory,
  ports: OfflineRestorePorts,
): Promise<PackPlaces> {
  const packs = await openPackPlaces(directory, {}, ports)
  await packs.start()
  return packs
}

type ListedPackRow = { readonly name: string; readonly sizeBytes: number }

/** Nobody else is waiting. */
function noPause(): undefined {
  return undefined
}

async function isWholePack(
  objects: ObjectStore,
  name: string,
  sizeBytes: number,
): Promise<boolean> {
  try {
    const bytes = await objects.get(packKey(name), 0, sizeBytes)
    return bytes.length === sizeBytes && (await damageOfPack(name, bytes, noPause)).length === 0
  } catch (error) {
    if (error instanceof NotFoundError || error instanceof DataLossError) return false
    throw error
  }
}

/** So that a path that is mistyped makes no directory. */
async function requireDirectory(from: string): Promise<void> {
  if (from.includes('://')) return
  const found = await stat(from).catch(() => undefined)
  if (found?.isDirectory() === true) return
  throw new FailedPreconditionError(
    `${from} is no directory: give that of a backup, or the URL of an object store`,
  )
}

async function requireEmpty(
  { metadata, store }: DataDirectory,
  { clock, release }: OfflineRestorePorts,
): Promise<void> {
  const found = await stat(metadata).catch(() => undefined)
  if (found === undefined || store.isNew) return
  await using database = await openSqlite({ path: metadata, migrations, clock, release, store })
  await requireEmptyStore(database)
}

async function beginRestore(
  { root, store }: DataDirectory,
  objects: ObjectStore,
  { name, bytes }: { readonly name: Restore['name']; readonly bytes: Uint8Array },
  { clock, release }: OfflineRestorePorts,
): Promise<Restore> {
  const ports = {
    objects,
    directory: restoreDirectory(root),
    restored: restoredMetadata(root),
    migrations,
    storeId: store.id,
    release,
    clock,
  }
  return await Restore.begin(ports, name, bytes)
}

/**
 * Puts lost or damaged metadata together from the newest copy that is kept beside the packs; what is there
 * of them is moved aside. Packs that were collected since the copy was made have left what is needed of them
 * in others, which the next start lists.
 */
export async function* recoverMetadata(
  { root, snapshot }: Extract<PachdCommand, { readonly kind: 'recover' }>,
  ports: OfflineRestorePorts,
): AsyncGenerator<string> {
  const { clock, random, log, release } = ports
  await using directory = await openDataDirectory(root, random)
  const { metadata, store } = directory
  if (store.isNew) {
    throw new FailedPreconditionError(
      `${root} has no file "version", and so is no data directory whose metadata are lost; if it is lost, too, write it again: echo 'pachyderm-ts data directory 1' > version, and a second line "store" with 32 hex digits of your choice`,
    )
  }
  await using packs = await openObjects(directory, ports)
  const { objects } = packs
  const backup = await metadataCopies(packs.url ?? directory.objects, objects, random)
  const name = await backup.find(snapshot)
  const bytes = await backup.read(snapshotKey(name))
  await using restore = await beginRestore(directory, objects, { name, bytes }, ports)
  for (const key of (await restore.missing()).keys) {
    if (key.startsWith('metadata/')) await restore.put(key, await readForRestore(backup, key))
  }
  const missing = await restore.complete({ toleratesMissing: true })
  const aside = await moveMetadataAside(metadata, `lost-${clock.now()}`)
  if (aside.length > 0) yield `moved ${aside.join(', ')} aside`
  await noteRestored(root, name)
  await applyRestored(directory, log)
  // Listed packs that are gone would be taken for lost ones.
  await using database = await openSqlite({ path: metadata, migrations, clock, release, store })
  await database.transact(async (tx) => {
    for (const pack of missing) await tx.run('DELETE FROM packs WHERE name = ?', pack)
  })
  yield `the metadata are those of snapshot ${name}: what was changed since then is lost. Now look through them: pachd --root ${root} --fsck`
}

async function metadataCopies(
  place: string,
  objects: ObjectStore,
  random: Random,
): Promise<Backup> {
  try {
    return await Backup.open(new ObjectStorePlace(place, objects), { random })
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
    throw new NotFoundError(
      `${place} holds no copy of the metadata: pachd makes one a minute after its start, and then every hour when something has changed (--metadata-copy-every). Restore a backup into a new directory`,
      { cause: error },
    )
  }
}
