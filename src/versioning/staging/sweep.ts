import type { CommitId } from '../../base/names.ts'
import type { Database } from '../../database/database.ts'

/** Rows that one transaction deletes, so that others do not wait long. */
const sweptMax = 2000

/**
 * Deletes the staged writes of a commit that is no longer open, a few at a time. What is left when
 * it stops early is found by `sweepStagedWrites`.
 */
export async function sweepCommit(
  database: Database,
  id: CommitId,
  signal?: AbortSignal,
): Promise<void> {
  for (;;) {
    if (signal?.aborted === true) return
    const left = await database.read((tx) =>
      tx.get('SELECT sequence FROM staged_writes WHERE id = ? LIMIT 1', id),
    )
    if (left === undefined) return
    await database.transact(
      (tx) =>
        tx.run(
          `DELETE FROM staged_writes WHERE id = ? AND sequence IN (
          SELECT sequence FROM staged_writes WHERE id = ? ORDER BY sequence LIMIT ?)`,
          id,
          id,
          sweptMax,
        ),
      { usesReserve: true },
    )
  }
}

/** Deletes staged writes of commits that are no longer open: what a crash has left over. */
export async function sweepStagedWrites(database: Database, signal: AbortSignal): Promise<void> {
  const rows = await database.read((tx) =>
    tx.all<{ readonly id: CommitId }>(
      `SELECT DISTINCT id FROM staged_writes WHERE NOT EXISTS (
        SELECT 1 FROM commits WHERE commits.id = staged_writes.id AND finished_at IS NULL)`,
    ),
  )
  for (const { id } of rows) await sweepCommit(database, id, signal)
}
