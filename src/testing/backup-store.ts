import { join } from 'node:path'
import { ObjectStorePlace } from '../backups/object-store-place.ts'
import { Backup } from '../backups/backup.ts'
import type { ExtractedStore } from '../backups/extraction.ts'
import type { BackupSecret } from '../backups/sealing.ts'
import { takeBackup, type TakenBackup, type TakeOptions } from '../backups/taking.ts'
import { type BackupDamage, verifyBackup } from '../backups/verifying.ts'
import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import type { Migrations } from '../database/database.ts'
import { MemoryObjectStore } from '../storage/memory-objects.ts'
import { storageMigrations } from '../storage/tables.ts'
import { type OpenedPackedStore, openPackedStore } from './packed-store.ts'

/** Tables of a test's own, besides those of storage. */
export const backedUpTables: readonly Migrations[] = [
  storageMigrations,
  {
    layer: 'test',
    steps: [
      ['CREATE TABLE notes (number INTEGER NOT NULL PRIMARY KEY, chunk TEXT NOT NULL)'],
      ['CREATE TABLE sights (place TEXT NOT NULL PRIMARY KEY)'],
    ],
    outsideTables: ['sights'],
  },
]

/** A store with chunks and rows, and a backup of it in memory. */
export interface BackedUpStore extends OpenedPackedStore {
  readonly extracted: ExtractedStore
  readonly objectsOfBackup: MemoryObjectStore
  readonly backup: Backup
  take(options?: Partial<TakeOptions>): Promise<TakenBackup>
  /** What a check of all snapshots finds. */
  damage(): Promise<readonly BackupDamage[]>
}

const random = new SystemRandom()

export async function openBackedUpStore(secret?: BackupSecret): Promise<BackedUpStore> {
  const opened = await openPackedStore({ migrations: backedUpTables })
  const { directory, database, objects, store } = opened
  const scratchDirectory = join(directory, 'scratch')
  const clock = new SystemClock()
  const metadata = join(directory, 'metadata.db')
  const { packs } = store
  const extracted = {
    database,
    metadata,
    count: () => ({ repos: 0, commits: 0 }),
    objects,
    packs,
    scratchDirectory,
    release: 'test',
    clock,
  }
  const objectsOfBackup = new MemoryObjectStore()
  const place = new ObjectStorePlace('memory', objectsOfBackup)
  const backup = await Backup.openOrCreate(place, { secret, random })
  const { signal } = new AbortController()
  return {
    ...opened,
    extracted,
    objectsOfBackup,
    backup,
    take: async (options = {}) =>
      await takeBackup(extracted, backup, {
        scope: 'whole',
        skipsDamaged: false,
        signal,
        ...options,
      }),
    damage: async () => {
      const found: BackupDamage[] = []
      const ports = { clock, scratchDirectory, signal }
      for await (const event of verifyBackup(backup, undefined, ports)) {
        if (event.kind === 'damage') found.push(event.damage)
      }
      return found
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  }
}

/** Opens the backup of a store once more, as another program would. */
export async function openAgain(
  { objectsOfBackup }: BackedUpStore,
  secret?: BackupSecret,
): Promise<Backup> {
  return await Backup.open(new ObjectStorePlace('memory', objectsOfBackup), { secret, random })
}
