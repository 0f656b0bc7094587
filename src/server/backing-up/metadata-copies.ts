import { stat } from 'node:fs/promises'
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

/** Makes a copy when something has changed since `last`; returns what to give the next time. */
export async function copyMetadata(
  store: ExtractedStore,
  backup: Backup,
  { last, signal }: { readonly last: string | undefined; readonly signal: AbortSignal },
): Promise<string> {
  const times = await Promise.all(
    ['', '-wal'].map((suffix) => stat(`${store.metadata}${suffix}`).then(({ mtimeMs }) => mtimeMs)),
  )
  const now = times.join(' ')
  if (now === last) return now
  await takeBackup(store, backup, { scope: 'metadata', skipsDamaged: false, signal })
  const pause = pauses(store.clock, signal, 'the copy of the metadata')
  const { damaged } = await forgetSnapshots(backup, spreadOverTime, { scope: 'metadata', pause })
  if (damaged.length === 0) return now
  const again = { scope: 'metadata', skipsDamaged: false, signal, damaged } as const
  await takeBackup(store, backup, again)
  return now
}
