import type { JobId } from '../base/names.ts'
import type { Database, ReadTransaction, Transaction } from '../database/database.ts'
import { noteDeletion } from '../versioning/deletion-notes.ts'
import { jobTopic, manyJobs } from './job-records.ts'
import type { PipelineRecord } from './pipeline-records.ts'

/** Rows that go in one transaction: one takes some 50 µs, and everybody waits meanwhile. */
const deletedAtOnceMax = 500
/** Jobs that are looked at in one turn. */
const pageMax = 100

type Owner = Pick<PipelineRecord, 'pipelineId' | 'lineageId'>

type DeletedRow = { readonly pipeline_id: string; readonly lineage_id: string }

type JobRow = {
  readonly id: JobId
  /** 1: a pipeline can reuse the results of the job, so these stay. */
  readonly is_reusable: number
}

/** What a row that names the job which made it satisfies, in SQL, unless that is being deleted. */
export const isNotDeleted = `NOT EXISTS (SELECT 1 FROM job_rows JOIN deleted_jobs
  ON deleted_jobs.pipeline_id = job_rows.pipeline_id WHERE job_rows.id = job)`

/** What names a job, each with the column that is with `job` its key. */
const rowsOfJob = [
  { table: 'job_inputs', key: 'repo' },
  { table: 'job_provenance', key: 'commit_id' },
  { table: 'datum_failures', key: 'datum' },
] as const

/**
 * Has all jobs of a pipeline that is being deleted be gone: from this transaction on nobody sees them.
 * Their rows, and the results that only they had, are left to `purgeDeletedJobs`, which is to be called.
 */
export async function markJobsDeleted(
  tx: Transaction,
  { pipelineId, lineageId }: Owner,
): Promise<void> {
  await tx.run(
    `INSERT INTO deleted_jobs (pipeline_id, lineage_id) VALUES (?, ?)
      ON CONFLICT (pipeline_id) DO NOTHING`,
    pipelineId,
    lineageId,
  )
  await noteDeletion(tx)
  await tx.emit(jobTopic, manyJobs)
}

/** What jobs say that end because their pipeline goes. */
export function deletedReason({ name }: Pick<PipelineRecord, 'name'>): string {
  return `pipeline ${name} was deleted`
}

/** As `markJobsDeleted`, the jobs of all pipelines, also of those that are gone already. */
export async function markAllJobsDeleted(tx: Transaction): Promise<void> {
  for (let last = ''; ;) {
    // One search for each pipeline: there may be very many jobs.
    const next = await tx.get<DeletedRow>(
      `SELECT pipeline_id, lineage_id FROM job_rows WHERE pipeline_id > ?
        ORDER BY pipeline_id, state, sequence LIMIT 1`,
      last,
    )
    if (next === undefined) return
    last = next.pipeline_id
    await markJobsDeleted(tx, { pipelineId: last, lineageId: next.lineage_id })
  }
}

/**
 * Deletes what is left of deleted jobs, a few rows at a time. When it stops early, in whatever way,
 * the next call goes on; several at once do no harm.
 */
export async function purgeDeletedJobs(database: Database, signal?: AbortSignal): Promise<void> {
  const deleted = await database.read((tx) =>
    tx.all<DeletedRow>('SELECT pipeline_id, lineage_id FROM deleted_jobs ORDER BY pipeline_id'),
  )
  for (const { pipeline_id: pipelineId, lineage_id: lineageId } of deleted) {
    for (const purgePage of [
      () => purgeJobPage(database, pipelineId),
      () => purgeResultPage(database, lineageId),
    ]) {
      for (let isMore = true; isMore;) {
        if (signal?.aborted === true) return
        isMore = await purgePage()
      }
    }
    await database.transact(
      async (tx) => {
        const gone = await tx.run('DELETE FROM deleted_jobs WHERE pipeline_id = ?', pipelineId)
        if (gone > 0) await noteDeletion(tx)
      },
      { usesReserve: true },
    )
  }
}

/** False when no job was left. */
async function purgeJobPage(database: Database, pipelineId: string): Promise<boolean> {
  const jobs = await database.read((tx) => jobPage(tx, pipelineId))
  if (jobs.length === 0) return false
  const ids = jobs.map(({ id }) => id)
  const useless = jobs.filter(({ is_reusable: isReusable }) => isReusable === 0)
  await database.transact(
    async (tx) => {
      let left = deletedAtOnceMax
      for (const { table, key } of rowsOfJob) {
        left -= await tx.run(
          `DELETE FROM ${table} WHERE (job, ${key}) IN (
            SELECT job, ${key} FROM ${table} WHERE job IN (${placesOf(ids)}) LIMIT ?)`,
          ...ids,
          left,
        )
        if (left <= 0) return
      }
      const makers = useless.map(({ id }) => id)
      const condition = `job IN (${placesOf(makers)})`
      if (makers.length > 0) left -= await deleteSomeResults(tx, condition, makers, left)
      if (left <= 0) return
      // Last, since what is left of a job is found by it.
      await tx.run(`DELETE FROM job_rows WHERE id IN (${placesOf(ids)})`, ...ids)
    },
    { usesReserve: true },
  )
  return true
}

function placesOf(values: readonly unknown[]): string {
  return values.map(() => '?').join(', ')
}

async function jobPage(tx: ReadTransaction, pipelineId: string): Promise<readonly JobRow[]> {
  return await tx.all<JobRow>(
    `SELECT id, CASE WHEN EXISTS (SELECT 1 FROM pipelines p
        WHERE p.lineage_id = job_rows.lineage_id AND p.salt = job_rows.salt) THEN 1 ELSE 0 END AS is_reusable
      FROM job_rows WHERE pipeline_id = ?
        AND EXISTS (SELECT 1 FROM deleted_jobs d WHERE d.pipeline_id = job_rows.pipeline_id) LIMIT ?`,
    pipelineId,
    pageMax,
  )
}

/** Results whose job had gone before, once nobody has their lineage any more; false when none was left. */
async function purgeResultPage(database: Database, lineageId: string): Promise<boolean> {
  return await database.transact(
    async (tx) => {
      const owner = await tx.get(
        `SELECT id FROM pipelines WHERE lineage_id = ?
          UNION ALL SELECT id FROM job_rows WHERE lineage_id = ? LIMIT 1`,
        lineageId,
        lineageId,
      )
      if (owner !== undefined) return false
      return (await deleteSomeResults(tx, 'pipeline_id = ?', [lineageId], deletedAtOnceMax)) > 0
    },
    { usesReserve: true },
  )
}

/** At most `countMax` of those that fit the condition, in SQL; returns how many. */
async function deleteSomeResults(
  tx: Transaction,
  condition: string,
  values: readonly string[],
  countMax: number,
): Promise<number> {
  return await tx.run(
    `DELETE FROM datum_results WHERE datum IN (
      SELECT datum FROM datum_results WHERE ${condition} LIMIT ?)`,
    ...values,
    countMax,
  )
}
