import { stat } from 'node:fs/promises'
import { Backup } from '../../backups/backup.ts'
import { snapshotKey, type SnapshotName } from '../../backups/format.ts'
import { neededObjects } from '../../backups/needed-objects.ts'
import { ObjectStorePlace } from '../../backups/object-store-place.ts'
import type { BackupPlace } from '../../backups/place.ts'
import { countText } from '../../base/counts.ts'
import {
  bringObject,
  bringOtherPacks,
  missingObjects,
  readForRestore,
} from '../../backups/restore-reads.ts'
import { requireRoom, restoreRoom, roomLost } from '../../backups/restore-room.ts'
import { Restore, type RestoreWish } from '../../backups/restoring.ts'
import {
  choiceLines,
  type ChosenSnapshot,
  chooseSnapshot,
  factsOf,
  takenText,
} from '../../backups/snapshot-choice.ts'
import {
  CancelledError,
  DataLossError,
  DiskFullError,
  FailedPreconditionError,
  NotFoundError,
} from '../../base/errors.ts'
import { findingText } from '../../base/finding-text.ts'
import type { Random } from '../../base/random.ts'
import { sizeText } from '../../base/sizes.ts'
import type { CloudEnvironment } from '../../clouds/bucket.ts'
import { openSqlite } from '../../database/sqlite.ts'
import { damageOfPack, packKey } from '../../storage/pack-bytes.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { openPackPlaces, openPackPlacesToCheck } from '../pack-places.ts'
import type { BucketConfig, PackPlaces } from '../pack-places-ports.ts'
import { readSecretFile } from './secret-file.ts'
import { backupPlaces } from '../backup-places.ts'
import type { PachdCommand } from '../command-line.ts'
import {
  type DataDirectory,
  isDataDirectory,
  openDataDirectory,
  placesIn,
} from '../data-directory.ts'
import { checkDirectory } from '../directory-check.ts'
import { migrations } from '../migrations.ts'
import type { ServerPorts } from '../ports.ts'
import { isOlder, UntouchedMetadata } from '../untouched-metadata.ts'
import { moveMetadataAside } from './metadata-aside.ts'
import {
  applyRestored,
  isRestoredFrom,
  noteRestored,
  requireEmptyFile,
  restoredMetadata,
  restoreDirectory,
} from './restored-metadata.ts'

export interface OfflineRestorePorts extends Pick<
  ServerPorts,
  'clock' | 'random' | 'log' | 'release' | 'giveUp'
> {
  readonly clouds: CloudEnvironment
  readonly signal: AbortSignal
}

const msPerSecond = 1000

/**
 * Makes a data directory of a backup, or of one of metadata and one of data; yields lines for people. It must be
 * new, or of an empty store. Stopped at any step, it goes on when it is called again; until it has ended no
 * server starts on it.
 *
 * @throws {DataLossError} at the end, when something was left out that is damaged in the backups.
 */
export async function* restoreDirectoryFrom(
  command: Extract<PachdCommand, { readonly kind: 'restore' }>,
  ports: OfflineRestorePorts,
): AsyncGenerator<string> {
  const { root } = command
  const { lostCount, before } = yield* restoreInto(command, ports)
  if (lostCount === 0 && before === undefined) return
  yield before === undefined
    ? 'what that concerns, as pachctl fsck tells it:'
    : `${root} was restored from snapshot ${before} before; what is damaged there, as pachctl fsck tells it:`
  let hasFindings = false
  for await (const event of checkDirectory({ root, full: false, fix: false }, ports)) {
    if (event.kind !== 'finding') continue
    const { kind, ...finding } = event.finding
    hasFindings = true
    yield findingText({ ...finding, ...kind, kind: kind.name }).trimEnd()
  }
  if (!hasFindings) yield 'nothing'
  if (before !== undefined) {
    throw new FailedPreconditionError(
      'nothing was brought anew: to have the snapshot once more, restore it into a new directory',
    )
  }
  throw new DataLossError(
    `${lostCount === 1 ? '1 pack is' : `${lostCount} packs are`} missing or damaged in the backup; all else was restored, and is served by pachd --root ${root}. A copy of the backup that has them whole puts them right, with the server stopped: pachd --root ${root} --restore-packs PLACE`,
  )
}

interface RestoreOutcome {
  /** How many packs have not come whole. */
  readonly lostCount: number
  /** The snapshot, when all that comes of it was here already: whoever brought it may not have been told what is lost. */
  readonly before?: SnapshotName
}

/** Of a disk that becomes full, what is said to somebody whose server does not run. */
export async function* withRoom(lines: AsyncIterable<string>): AsyncGenerator<string> {
  try {
    yield* lines
  } catch (error) {
    const isTold = !(error instanceof DiskFullError) || error.cause === undefined
    throw isTold ? error : await roomLost(error)
  }
}

async function* restoreInto(
  command: Extract<PachdCommand, { readonly kind: 'restore' }>,
  ports: OfflineRestorePorts,
): AsyncGenerator<string, RestoreOutcome> {
  const { root, from, packsFrom, snapshot, secretFile, skipsDamaged } = command
  const { clock, random, signal, log } = ports
  const secret = await readSecretFile(secretFile)
  await using opened = new AsyncDisposableStack()
  const openBackup = async (place: string): Promise<Backup> => {
    const found = opened.use(await openPlace(place, ports))
    return await Backup.open(found, { secret, isSecretShared: packsFrom !== undefined, random })
  }
  const backup = await openBackup(from)
  const backups = packsFrom === undefined ? [backup] : [backup, await openBackup(packsFrom)]
  const chosen = await chooseSnapshot(backup, snapshot)
  const { name, bytes } = chosen
  const facts = factsOf(chosen)
  yield* choiceLines(from, facts, chosen.others.map(factsOf))
  if (!skipsDamaged && !(await isDataDirectory(root))) await requireNewRoom(root, chosen)
  await using directory = await openDataDirectory(root, random)
  if (skipsDamaged && (await isRestoredFrom(directory, name))) return { lostCount: 0, before: name }
  if (!directory.store.isNew) await requireEmptyFile(directory)
  // From here on a server that is started says that the metadata are missing.
  await directory.settle()
  await using packs = await openObjects(directory, ports)
  const wish = { name, bytes, skipsDamaged }
  await using restore = await beginRestore(directory, packs, wish, ports)
  const { keys, totalCount, sizeBytes } = await missingObjects(restore, backups)
  yield `restoring snapshot ${name}: ${keys.length} of ${totalCount} objects are to come, ${sizeText(sizeBytes)}`
  const startMs = clock.monotonicMs()
  let lostCount = 0
  for (const key of keys) {
    if (signal.aborted) {
      throw new CancelledError('the restore was stopped; the same command goes on with it')
    }
    const lost = await bringObject(restore, backups, key)
    if (lost === undefined) continue
    lostCount += 1
    yield `lost in the backup: ${lost.key}: ${lost.what}`
  }
  if (lostCount > 0 && restore.snapshot.scope === 'metadata') {
    const count = await bringOtherPacks(restore, backups)
    if (count > 0) yield `brought ${count} other packs, into which it may have been moved since`
  }
  await noteRestored(root, name)
  const lost = await restore.complete()
  await applyRestored(directory, log)
  const seconds = ((clock.monotonicMs() - startMs) / msPerSecond).toFixed(1)
  yield `restored ${root} in ${seconds} s from a snapshot ${takenText(facts)}; start it with pachd --root ${root}, and look through it with pachctl fsck`
  return { lostCount: lost.length }
}

async function openPlace(place: string, ports: OfflineRestorePorts): Promise<BackupPlace> {
  await requireDirectory(place)
  const open = backupPlaces({ ...ports, directories: [place], reach: 'any' })
  return await open(place, ports.signal)
}

/**
 * Reads all packs that the metadata list, and takes from a backup those that are missing or damaged; yields
 * lines for people. Packs have the same names in every backup, so any that has them will do. Metadata that an
 * older release has written stay as they are.
 *
 * @throws {DataLossError} at the end, when the backup lacks one.
 */
export async function* restorePacks(
  command: Extract<PachdCommand, { readonly kind: 'restore-packs' }>,
  ports: OfflineRestorePorts,
): AsyncGenerator<string> {
  const { root, from, secretFile } = command
  const { random, signal } = ports
  const secret = await readSecretFile(secretFile)
  await using place = await openPlace(from, ports)
  const backup = await Backup.open(place, { secret, random })
  await requireMetadata(root, from)
  await using directory = await openDataDirectory(root, random)
  const rows = await listedPacks(directory, ports)
  await using packs = await openObjects(directory, ports)
  const { objects } = packs
  let [restoredCount, lostCount] = [0, 0]
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
    // What is damaged is in the way; the one that comes has been looked at, and has room.
    await requireRoom([{ directory: directory.objects, sizeBytes }], 'a pack')
    await objects.delete(packKey(name))
    await objects.putIfAbsent(packKey(name), [bytes])
    restoredCount += 1
  }
  yield `restored ${restoredCount} of ${restoredCount + lostCount} packs that were missing or damaged`
  if (lostCount > 0) {
    throw new DataLossError(
      `the backup lacks ${countText(lostCount, 'pack')}: pachd --root ${root} --fsck --full says what that concerns`,
    )
  }
}

/** In the directory, or in the bucket that it notes; what is put there is uploaded by the next start, too. */
async function openObjects(
  directory: DataDirectory,
  ports: OfflineRestorePorts,
  config: BucketConfig = {},
): Promise<PackPlaces> {
  const packs = await openPackPlaces(directory, config, ports)
  await packs.start()
  return packs
}

type ListedPackRow = { readonly name: string; readonly sizeBytes: number }

async function listedPacks(
  directory: DataDirectory,
  { clock, release }: OfflineRestorePorts,
): Promise<readonly ListedPackRow[]> {
  await using untouched = (await isOlder(directory, release))
    ? await UntouchedMetadata.copy(directory, 'scratch')
    : undefined
  const { metadata: path } = untouched?.places ?? directory
  const { store } = directory
  const keepsCopy = untouched === undefined
  await using database = await openSqlite({ path, migrations, clock, release, store, keepsCopy })
  return await database.read((tx) =>
    tx.all<ListedPackRow>('SELECT name, size_bytes AS sizeBytes FROM packs ORDER BY name'),
  )
}

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
  if (found?.isFile() === true) {
    throw new FailedPreconditionError(
      `${from} is a file, and pachd reads a directory or an object store: if it is an archive, make a directory of it with tar -xf, and give that; or restore it into an empty server that runs, with pachctl restore --file`,
    )
  }
  throw new FailedPreconditionError(
    `${from} is no directory: give that of a backup, or the URL of an object store; of an archive, tar -xf makes such a directory`,
  )
}

/** So that a path that is mistyped makes no server: without metadata nothing says which packs are wanted. */
async function requireMetadata(root: string, from: string): Promise<void> {
  const { metadata } = placesIn(root)
  const found = await stat(metadata).catch(() => undefined)
  if (found?.isFile() === true && (await isDataDirectory(root))) return
  throw new FailedPreconditionError(
    `${root} has no metadata, which say which packs are wanted: give the data directory of a server; or, for a new one, a backup of metadata, too: pachd --root ${root} --restore METADATA --restore-packs ${from}`,
  )
}

/** Before anything is made there. @throws {DiskFullError} */
async function requireNewRoom(
  root: string,
  { snapshot }: Pick<ChosenSnapshot, 'snapshot'>,
): Promise<void> {
  const places = { directory: root, objectsDirectory: root }
  await requireRoom(restoreRoom(snapshot, neededObjects({ ...snapshot, scope: 'whole' }), places))
}

async function beginRestore(
  { root, store, objects: objectsDirectory }: DataDirectory,
  { objects, url }: PackPlaces,
  wish: RestoreWish,
  { clock, release }: OfflineRestorePorts,
): Promise<Restore> {
  const ports = {
    objects,
    directory: restoreDirectory(root),
    restored: restoredMetadata(root),
    objectsDirectory: url === undefined ? objectsDirectory : undefined,
    migrations,
    storeId: store.id,
    release,
    clock,
  }
  return await Restore.begin(ports, wish)
}

/**
 * Puts lost or damaged metadata together from the newest copy that is kept beside the packs; what is there
 * of them is moved aside. Packs that were collected since the copy was made have left what is needed of them
 * in others, which the next start lists.
 */
export async function* recoverMetadata(
  { root, snapshot, packs: config = {} }: Extract<PachdCommand, { readonly kind: 'recover' }>,
  ports: OfflineRestorePorts,
): AsyncGenerator<string> {
  const { clock, random, log, release } = ports
  const { bucket } = config
  if (bucket !== undefined && !(await isDataDirectory(root))) {
    const { adoptBucket } = await import('../bucket/adopt-bucket.ts')
    await adoptBucket(root, { ...config, bucket }, ports, async (objects) => {
      await readCopy(await metadataCopies(bucket.url, objects, random), snapshot)
    })
    yield `made ${root} for the packs in ${bucket.url}: those that had not been uploaded are lost with the old one, and so is its secrets.key, unless there is a copy`
  }
  await using directory = await openDataDirectory(root, random)
  const { metadata, store } = directory
  if (store.isNew) {
    throw new FailedPreconditionError(
      `${root} has no file "version", and so is no data directory whose metadata are lost; if all of it is lost, and its packs are in a bucket, name that with --store; if only that file is lost, too, write it again: echo 'pachyderm-ts data directory 1' > version, and a second line "store" with 32 hex digits of your choice`,
    )
  }
  const wish = await lookForCopy({ directory, bucket, snapshot }, ports)
  const { name } = wish
  await using packs = await openObjects(directory, ports, config)
  const { objects } = packs
  const backup = await metadataCopies(packs.url ?? directory.objects, objects, random)
  await using restore = await beginRestore(directory, packs, wish, ports)
  for (const key of (await restore.missing()).keys) {
    if (key.startsWith('metadata/')) await restore.put(key, await readForRestore(backup, key))
  }
  const missing = await restore.complete({ toleratesMissing: true })
  const aside = await moveMetadataAside(metadata, `lost-${clock.now()}`)
  if (aside !== undefined) yield aside
  await noteRestored(root, name)
  await applyRestored(directory, log)
  // Listed packs that are gone would be taken for lost ones.
  await using database = await openSqlite({ path: metadata, migrations, clock, release, store })
  await database.transact(async (tx) => {
    for (const pack of missing) await tx.run('DELETE FROM packs WHERE name = ?', pack)
  })
  if (missing.length > 0) {
    yield `of the packs of the snapshot, ${missing.length} ${missing.length === 1 ? 'is' : 'are'} not there: collected since, or lost, which --fsck tells apart`
  }
  yield `the metadata are those of snapshot ${name}: what was changed since then is lost. Now look through them: pachd --root ${root} --fsck`
}

/** The copy to take, before a bucket is taken for it. @throws as `readCopy`. */
async function lookForCopy(
  {
    directory,
    bucket,
    snapshot,
  }: {
    readonly directory: DataDirectory
    readonly bucket: BucketConfig['bucket']
    readonly snapshot: string
  },
  ports: OfflineRestorePorts,
): Promise<RestoreWish> {
  const places = { ...directory, isReadOnly: false, bucket }
  await using packs = await openPackPlacesToCheck(places, directory.store.id, ports)
  const place = packs.url ?? directory.objects
  return await readCopy(await metadataCopies(place, packs.objects, ports.random), snapshot)
}

/** @throws {NotFoundError} @throws {DataLossError} when there is none that can be read. */
async function readCopy(backup: Backup, snapshot: string): Promise<RestoreWish> {
  const name = await backup.findToRestore(snapshot)
  return { name, bytes: await backup.read(snapshotKey(name)) }
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
      `${place} holds no copy of the metadata: pachd makes one a minute after its start, and when something has changed every hour, and as it stops (--metadata-copy-every). Restore a backup into a new directory`,
      { cause: error },
    )
  }
}
