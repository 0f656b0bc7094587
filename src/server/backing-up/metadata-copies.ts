import { stat } from 'node:fs/promises'
import { Backup } from '../../backups/backup.ts'
import type { ExtractedStore } from '../../backups/extraction.ts'
import { ObjectStorePlace } from '../../backups/object-store-place.ts'
import { forgetSnapshots } from '../../backups/retention.ts'
import { takeBackup } from '../../backups/taking.ts'
import type { Random } from '../../base/random.ts'
import type { ObjectStore } from '../../storage/object-store.ts'

/** Copies of the metadata that are kept beside the packs. */
const metadataCopiesKept = 3

/** The copies of the metadata that are kept beside the packs of a store. */
export async function metadataCopies(objects: ObjectStore, random: Random): Promise<Backup> {
  return await Backup.openOrCreate(new ObjectStorePlace('objects', objects), { random })
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
  await forgetSnapshots(backup, metadataCopiesKept, 'metadata')
  return now
}
