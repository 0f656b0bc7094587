import type { Instant } from '../base/clock.ts'
import type { ReadTransaction, Transaction } from '../database/database.ts'
import type { ImportRun } from '../versioning/imports.ts'

/** The migration that is under way, or was stopped and may go on. */
export async function currentRun(tx: ReadTransaction): Promise<ImportRun | undefined> {
  const row = await tx.get<{ readonly started_at: number }>('SELECT started_at FROM migration_runs')
  return row?.started_at
}

/** Goes on with it, or begins one. */
export async function beginRun(
  tx: Transaction,
  source: string,
  startedAt: Instant,
): Promise<ImportRun> {
  const run = await currentRun(tx)
  if (run !== undefined) return run
  await tx.run(
    'INSERT INTO migration_runs (one, source, started_at) VALUES (1, ?, ?)',
    source,
    startedAt,
  )
  return startedAt
}

/** Contents that have been recorded for the migration that is under way. */
export interface RecordedContents {
  readonly objects: number
  readonly objectBytes: number
}

export async function recordedContents(tx: ReadTransaction): Promise<RecordedContents> {
  const row = await tx.get<{ readonly objects: number; readonly object_bytes: number }>(
    'SELECT objects, object_bytes FROM migration_runs',
  )
  return { objects: row?.objects ?? 0, objectBytes: row?.object_bytes ?? 0 }
}

/** In the transaction that records them. */
export async function countRecorded(
  tx: Transaction,
  { objects, objectBytes }: RecordedContents,
): Promise<void> {
  await tx.run(
    'UPDATE migration_runs SET objects = objects + ?, object_bytes = object_bytes + ?',
    objects,
    objectBytes,
  )
}

export async function endRun(tx: Transaction): Promise<void> {
  await tx.run('DELETE FROM migration_runs')
}
