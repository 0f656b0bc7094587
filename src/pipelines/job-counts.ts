import type { JobId } from '../base/names.ts'
import type { Database, ReadTransaction, Transaction } from '../database/database.ts'
import { type DatumCounts, findOpenJob } from './job-records.ts'
import type { ProcessStats } from './process-stats.ts'

/** Failures that are forgotten in one transaction: everybody waits meanwhile. */
const forgottenAtOnceMax = 500

/**
 * Has a job that has not ended be without the failures of its earlier runs, a few rows at a time, each of
 * which is no longer counted when it goes. When it stops early, in whatever way, the next call goes on.
 *
 * @throws {unknown} the reason of `signal`, once that has aborted.
 */
export async function forgetFailures(
  database: Pick<Database, 'transact'>,
  job: JobId,
  signal: AbortSignal,
): Promise<void> {
  for (let isMore = true; isMore;) {
    signal.throwIfAborted()
    isMore = await database.transact((tx) => forgetSomeFailures(tx, job))
  }
}

/** False when none was left, or the job has ended, whose failures tell of its end. */
async function forgetSomeFailures(tx: Transaction, job: JobId): Promise<boolean> {
  if ((await findOpenJob(tx, job)) === undefined) return false
  const rows = await tx.all<{
    readonly datum: string
    readonly recovered: number
    readonly stopped: number
  }>(
    'SELECT datum, recovered, stopped FROM datum_failures WHERE job = ? ORDER BY datum LIMIT ?',
    job,
    forgottenAtOnceMax,
  )
  const last = rows.at(-1)
  if (last === undefined) return false
  await tx.run('DELETE FROM datum_failures WHERE job = ? AND datum <= ?', job, last.datum)
  const recovered = rows.filter((row) => row.recovered === 1).length
  const failed = rows.filter((row) => row.recovered === 0 && row.stopped === 0).length
  await tx.run(
    `UPDATE job_rows SET datum_failed = CASE WHEN datum_failed > ? THEN datum_failed - ? ELSE 0 END,
      datum_recovered = CASE WHEN datum_recovered > ? THEN datum_recovered - ? ELSE 0 END WHERE id = ?`,
    failed,
    failed,
    recovered,
    recovered,
    job,
  )
  return rows.length === forgottenAtOnceMax
}

/**
 * Has a run that begins count anew what it finds again: failures, of which `forgetFailures` has left few,
 * what an interrupted run has skipped, and what that has processed where an update has the datums found anew.
 */
export async function beginCounts(tx: Transaction, job: JobId): Promise<void> {
  await tx.run('DELETE FROM datum_failures WHERE job = ?', job)
  await tx.run(
    'UPDATE job_rows SET datum_skipped = 0, datum_failed = 0, datum_recovered = 0 WHERE id = ?',
    job,
  )
  await tx.run(
    `UPDATE job_rows SET datum_processed = 0, download_ms = 0, process_ms = 0, upload_ms = 0,
      download_bytes = 0, upload_bytes = 0 WHERE id = ? AND datum_set_root IS NULL`,
    job,
  )
}

export async function setCounts(
  tx: Transaction,
  job: JobId,
  counts: Omit<DatumCounts, 'total'> & { readonly stats: ProcessStats },
): Promise<void> {
  const { processed, skipped, failed, recovered, stats } = counts
  await tx.run(
    `UPDATE job_rows SET datum_processed = ?, datum_skipped = ?, datum_failed = ?,
        datum_recovered = ?, download_ms = ?, process_ms = ?, upload_ms = ?, download_bytes = ?, upload_bytes = ? WHERE id = ?`,
    processed,
    skipped,
    failed,
    recovered,
    stats.downloadMs,
    stats.processMs,
    stats.uploadMs,
    stats.downloadBytes,
    stats.uploadBytes,
    job,
  )
}

/** What a job counts, and the rows that there are of its datums. */
export interface CountedJob extends DatumCounts {
  readonly [column: string]: string | number
  readonly pipeline: string
  readonly pipeline_id: string
  readonly version: number
  readonly result_rows: number
  readonly failure_rows: number
  readonly recovered_rows: number
}

/**
 * Undefined for one that has succeeded, whose results may be gone when nothing can reuse them; for one that
 * ran in an old cluster, whose results may have stayed there; and for one of whose inputs a commit was deleted:
 * what it made goes with the last job that uses it.
 */
export async function findCountedJob(
  tx: ReadTransaction,
  job: string,
): Promise<CountedJob | undefined> {
  return await tx.get<CountedJob>(
    `SELECT pipeline, pipeline_id, pipeline_version AS version, datum_total AS total,
        datum_processed AS processed, datum_skipped AS skipped, datum_failed AS failed,
        datum_recovered AS recovered,
        (SELECT COUNT(*) FROM datum_results d WHERE d.job = j.id) AS result_rows,
        (SELECT COUNT(*) FROM datum_failures f WHERE f.job = j.id AND f.recovered = 0 AND f.stopped = 0) AS failure_rows,
        (SELECT COUNT(*) FROM datum_failures f WHERE f.job = j.id AND f.recovered = 1) AS recovered_rows
      FROM jobs j WHERE j.id = ? AND j.state <> 'success' AND j.imported = 0
        AND NOT EXISTS (SELECT 1 FROM job_inputs i LEFT JOIN commits c ON c.id = i.commit_id
          AND c.repo = i.repo WHERE i.job = j.id AND c.id IS NULL)`,
    job,
  )
}

/** Has a job count no more than there are rows of, nor than it has datums. */
export async function recountDatums(tx: Transaction, job: string): Promise<boolean> {
  const row = await findCountedJob(tx, job)
  if (row === undefined) return false
  const failed = Math.min(row.failed, row.failure_rows)
  const recovered = Math.min(row.recovered, row.recovered_rows)
  const processed = Math.min(row.processed, row.result_rows)
  const skipped = Math.max(0, Math.min(row.skipped, row.total - processed - failed - recovered))
  await tx.run(
    `UPDATE job_rows SET datum_processed = ?, datum_skipped = ?, datum_failed = ?, datum_recovered = ?
      WHERE id = ?`,
    processed,
    skipped,
    failed,
    recovered,
    job,
  )
  return true
}
