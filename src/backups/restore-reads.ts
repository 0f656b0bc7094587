import { DataLossError, FailedPreconditionError, NotFoundError } from '../base/errors.ts'
import { packBytesMax } from '../storage/pack-bytes.ts'
import type { Backup } from './backup.ts'
import {
  contentPackKey,
  isContentKey,
  type Snapshot,
  type SnapshotName,
  whyAbsent,
} from './format.ts'
import { heldObjects, lackingObjects } from './needed-objects.ts'
import {
  damagedIn,
  type LostObject,
  type MissingObjects,
  type Restore,
  skippingAdvice,
} from './restoring.ts'
import { factsOf, type NamedSnapshot, takenText } from './snapshot-choice.ts'

/** @throws {FailedPreconditionError} when the backup has lost it. @throws {DataLossError} */
export async function readForRestore(backup: Backup, key: string): Promise<Uint8Array> {
  try {
    return sized(await backup.read(key))
  } catch (error) {
    return failed(key, error)
  }
}

function failed(key: string, error: unknown): never {
  if (error instanceof NotFoundError) throw lacks(key, error)
  throw error instanceof DataLossError ? damagedIn(key, error.message, error) : error
}

/**
 * The same for a restore of chosen repos, which does without nothing, and takes packs from one place only.
 *
 * @throws {FailedPreconditionError} that says why a pack is not there, and how to go on.
 */
export async function readForRepos(
  backup: Backup,
  { name, snapshot }: NamedSnapshot,
  key: string,
): Promise<Uint8Array> {
  try {
    return sized(await backup.read(key))
  } catch (error) {
    if (!(error instanceof NotFoundError && isContentKey(key))) return failed(key, error)
    const isLeftOut = snapshot.damaged.includes(key.slice(-64))
    const cause = isLeftOut
      ? `snapshot ${name} was made with --skip-damaged, and ${key}, which these repos need, was damaged in the store then, and left out`
      : `the backup lacks ${key}, which these repos need of snapshot ${name}`
    const complete = await newestComplete(backup, snapshot.store)
    const other =
      complete === undefined
        ? `No snapshot of ${backup.name} has all of its packs`
        : `--snapshot ${complete.name} takes the newest one that has all of its packs, ${takenText(factsOf(complete))}`
    throw new FailedPreconditionError(
      `${cause}; nothing has been restored. ${other}. Where another backup has this pack, restore all into a new directory, by pachd --root DIR --restore ${backup.name} --restore-packs OTHER, and bring the repos from there with pachctl pull. Without it, pachd --root DIR --restore ${backup.name} --skip-damaged brings all else there, and says which files are lost`,
      { cause: error },
    )
  }
}

/** The newest snapshot of `store`, else of another one, whose packs are all there. Sizes are compared, and nothing is read. */
async function newestComplete(backup: Backup, store: string): Promise<NamedSnapshot | undefined> {
  const held = await heldObjects(backup)
  let ofOther: NamedSnapshot | undefined
  for (const name of (await backup.snapshots()).toReversed()) {
    const snapshot = await backup.snapshotOrDamage(name)
    if (typeof snapshot === 'string' || snapshot.scope === 'data') continue
    if (lackingObjects(held, { ...snapshot, scope: 'whole' }).length > 0) continue
    if (snapshot.store === store) return { name, snapshot }
    ofOther ??= { name, snapshot }
  }
  return ofOther
}

/** The same; but of a pack of contents that has changed, what is left of it; words when that is nothing. */
export async function readLeftForRestore(
  backup: Backup,
  key: string,
  { damaged }: Pick<Snapshot, 'damaged'>,
): Promise<Uint8Array | LostObject> {
  if (!isContentKey(key)) return await readForRestore(backup, key)
  try {
    return sized(await backup.readLeft(key))
  } catch (error) {
    if (error instanceof NotFoundError) {
      return { key, what: whyAbsent(damaged.includes(key.slice(-64))) }
    }
    if (error instanceof DataLossError) return { key, what: error.message }
    throw error
  }
}

/**
 * Brings an object from the first of the backups that has it whole. A restore that skips damage is given what
 * is left of one that is whole in none, and it is returned what that is.
 *
 * @throws {FailedPreconditionError} when no backup has it. @throws {DataLossError}
 */
export async function bringObject(
  restore: Restore,
  backups: readonly Backup[],
  key: string,
): Promise<LostObject | undefined> {
  let failure: unknown
  let lost: LostObject | undefined
  for (const backup of backups) {
    try {
      if (!restore.skipsDamaged) {
        await restore.put(key, await readForRestore(backup, key))
        return undefined
      }
      const bytes = await readLeftForRestore(backup, key, restore.snapshot)
      const found = bytes instanceof Uint8Array ? await restore.put(key, bytes) : bytes
      if (found === undefined) return undefined
      lost ??= found
    } catch (error) {
      if (!(error instanceof FailedPreconditionError || error instanceof DataLossError)) throw error
      failure ??= error
    }
  }
  if (lost === undefined) throw failure
  return lost
}

/**
 * Brings packs that the snapshot does not name: after metadata alone were backed up, a collection may have moved
 * into them what was in packs that the backups lack. The next start lists them. Returns how many came.
 */
export async function bringOtherPacks(
  restore: Restore,
  backups: readonly Backup[],
): Promise<number> {
  const named = new Set(restore.snapshot.packs.map(({ name }) => contentPackKey(name)))
  const wanted = new Set<string>()
  for (const backup of backups) {
    for await (const { key } of backup.list('packs/')) if (!named.has(key)) wanted.add(key)
  }
  let cameCount = 0
  for (const key of wanted) {
    if ((await bringObject(restore, backups, key)) === undefined) cameCount += 1
  }
  return cameCount
}

/**
 * What of a restore has not come yet, before anything comes: all of it is to be had of the backups, unless
 * damage is skipped, and has room.
 *
 * @throws {FailedPreconditionError} @throws {DiskFullError}
 */
export async function missingObjects(
  restore: Restore,
  backups: readonly Backup[],
): Promise<MissingObjects> {
  const missing = await restore.missing()
  if (!restore.skipsDamaged) await requirePacks(restore, backups, missing)
  await restore.requireRoom(missing)
  return missing
}

/**
 * Looks whether packs that are not part of the snapshot are to be had, before anything comes: all of one of
 * metadata alone, and those that were left out of another one, since they were damaged in the store.
 *
 * @throws {FailedPreconditionError} when some are neither there already nor in one of the backups.
 */
export async function requirePacks(
  { name, snapshot }: { readonly name: SnapshotName; readonly snapshot: Snapshot },
  backups: readonly Backup[],
  { keys }: Pick<MissingObjects, 'keys'>,
): Promise<void> {
  const leftOut = new Set(snapshot.damaged.map(contentPackKey))
  const areApart = snapshot.scope === 'metadata'
  const wanted = keys.filter((key) => (areApart && isContentKey(key)) || leftOut.has(key))
  if (wanted.length === 0) return
  const held = new Set<string>()
  for (const backup of backups) {
    for await (const { key } of backup.list('packs/')) held.add(key)
  }
  const absent = wanted.filter((key) => !held.has(key))
  if (absent.length === 0) return
  const places = backups.map((backup) => backup.name).join(' nor in ')
  const count = `${absent.length} of the ${snapshot.packs.length} packs`
  const where = `neither here nor in ${places}, such as ${absent[0]}; nothing has been restored`
  throw new FailedPreconditionError(
    areApart
      ? `snapshot ${name} is of metadata alone, and ${count} that they need are ${where}. Give a backup that has them, too, as in pachd --root DIR --restore METADATA --restore-packs DATA; or choose another snapshot with --snapshot; or do without what is in these packs, with --skip-damaged`
      : `snapshot ${name} was made with --skip-damaged: ${count} that it needs were damaged in the store already, and are ${where}. Choose another snapshot with --snapshot; or give a backup that has them, too, as in pachd --root DIR --restore PLACE --restore-packs OTHER; or do without what is in these packs, with --skip-damaged, which says which files are lost`,
  )
}

/** @throws {DataLossError} when it is none that was backed up. */
function sized(bytes: Uint8Array): Uint8Array {
  if (bytes.length > 0 && bytes.length <= packBytesMax) return bytes
  throw new DataLossError(`it has ${bytes.length} bytes`)
}

function lacks(key: string, cause: NotFoundError): FailedPreconditionError {
  return new FailedPreconditionError(
    `the backup lacks ${key}, and nothing has been restored: pachctl verify-backup finds all that it lacks, and which snapshots are whole: choose one with --snapshot; ${skippingAdvice}`,
    { cause },
  )
}
