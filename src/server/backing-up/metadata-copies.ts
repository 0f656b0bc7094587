import { Backup } from '../../backups/backup.ts'
import type { ExtractedStore } from '../../backups/extraction.ts'
import { takenAtOf } from '../../backups/format.ts'
import { ObjectStorePlace } from '../../backups/object-store-place.ts'
import { pauses } from '../../backups/damaged-objects.ts'
import { forgetSnapshots, spreadOverTime } from '../../backups/retention.ts'
import { takeBackup } from '../../backups/taking.ts'
import type { Clock } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import type { ObjectStore } from '../../storage/object-store.ts'

const microsPerMs = 1000

/** The copies of the metadata that are kept beside the packs of a store. */
export async function metadataCopies(objects: ObjectStore, random: Random): Promise<Backup> {
  return await Backup.openOrCreate(new ObjectStorePlace('objects', objects), { random })
}

/** How long the newest copy is young enough: a server that is started again and again makes no more of them. */
export async function msUntilDue(
  backup: Backup,
  everyMs: number,
  clock: Pick<Clock, 'now'>,
): Promise<number> {
  const name = (await backup.snapshots()).at(-1)
  if (name === undefined) return 0
  const ageMs = (clock.now() - takenAtOf(name)) / microsPerMs
  // One of a time to come says nothing: the clock was set back.
  return ageMs < 0 ? 0 : Math.max(0, everyMs - ageMs)
}

/** Makes a copy, and forgets those that are not to be kept any more. */
export async function copyMetadata(
  store: ExtractedStore,
  backup: Backup,
  signal: AbortSignal,
): Promise<void> {
  await takeBackup(store, backup, { scope: 'metadata', skipsDamaged: false, signal })
  const pause = pauses(store.clock, signal, 'the copy of the metadata')
  const { damaged } = await forgetSnapshots(backup, spreadOverTime, { scope: 'metadata', pause })
  if (damaged.length === 0) return
  await takeBackup(store, backup, { scope: 'metadata', skipsDamaged: false, signal, damaged })
}
