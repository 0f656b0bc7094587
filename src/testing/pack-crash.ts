import { SystemClock } from '../base/clock.ts'
import type { Database, Migrations } from '../database/database.ts'
import type { PackStore } from '../storage/chunk-store.ts'
import type { ChunkId } from '../storage/chunks.ts'
import { type CollectionReport, Collector } from '../storage/collector.ts'

/** References to chunks, committed only after the flush that covers them. */
export const crashMigrations: Migrations = {
  layer: 'crash test',
  steps: [
    ['CREATE TABLE crash_chunks (id TEXT NOT NULL, seed INTEGER NOT NULL, size INTEGER NOT NULL)'],
  ],
}

export const crashSizes: readonly number[] = [100, 5000, 300_000]

export interface CrashReference {
  readonly id: ChunkId
  readonly seed: number
  readonly size: number
}

/** All references, which the test keeps few. */
export async function listReferences(database: Database): Promise<readonly CrashReference[]> {
  return await database.read((tx) =>
    tx.all<{ id: ChunkId; seed: number; size: number }>('SELECT id, seed, size FROM crash_chunks'),
  )
}

/** Frees every chunk that no reference names. */
export async function collectReferences(parts: {
  readonly store: PackStore
  readonly database: Database
}): Promise<CollectionReport> {
  const { store, database } = parts
  const source = {
    async *collectionRoots() {
      for (const { id } of await listReferences(database)) {
        yield { kind: 'chunk', chunk: id } as const
      }
    },
  }
  const clock = new SystemClock()
  const collector = new Collector({ store, sources: [source], clock, graceMs: 1 })
  return await collector.collect({ signal: new AbortController().signal })
}
