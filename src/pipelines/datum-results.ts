import type { Instant } from '../base/clock.ts'
import { hexBytes, hexText } from '../base/bytes.ts'
import type { JobId } from '../base/names.ts'
import type { FilePath } from '../base/paths.ts'
import type { ReadTransaction, SqlRow, Transaction } from '../database/database.ts'
import type { DirectoryEntry, TreeRoot } from '../storage/file-trees.ts'
import type { DatumKey, DatumMember, Lineage } from './datums.ts'
import { statsOf, type ProcessStats } from './process-stats.ts'

/**
 * What processing a datum gave. Its output is kept while its pipeline can reuse it, the rest as long
 * as the job.
 */
export interface DatumResult {
  readonly datum: DatumKey
  readonly members: readonly DatumMember[]
  /** The job that processed it; other jobs reuse the result. */
  readonly job: JobId
  readonly output: DirectoryEntry
  readonly stats: ProcessStats
  readonly finishedAt: Instant
  /** Who ran it; empty where that was not noted. */
  readonly worker: string
  /** As `encodeLog` makes it. */
  readonly log: Uint8Array
}

/** A datum that a job gave up, or that ran when the job was ended. */
export interface DatumFailure {
  readonly datum: DatumKey
  readonly members: readonly DatumMember[]
  readonly job: JobId
  readonly reason: string
  /** The error command let the job go on without it. */
  readonly isRecovered: boolean
  /** Others ended the job while it ran. */
  readonly isStopped?: boolean
  readonly stats: ProcessStats
  readonly finishedAt: Instant
  /** As in a result. */
  readonly worker: string
  /** As `encodeLog` makes it. */
  readonly log: Uint8Array
}

interface StatsRow extends SqlRow {
  readonly datum: string
  readonly job: string
  readonly download_ms: number
  readonly process_ms: number
  readonly upload_ms: number
  readonly download_bytes: number
  readonly upload_bytes: number
}

interface OutputRow extends SqlRow {
  readonly output_root: string
  readonly output_bytes: number
  readonly output_files: number
}

interface ReusableRow extends StatsRow, OutputRow {}

/** What a job needs of a result to reuse it. */
export interface ReusableResult {
  readonly job: JobId
  readonly output: DirectoryEntry
  readonly stats: ProcessStats
}

/** The job that made the result of each of `datums` (at most a few hundred), when, and what it took. */
export async function findMakers(
  tx: ReadTransaction,
  datums: readonly DatumKey[],
): Promise<ReadonlyMap<DatumKey, Pick<DatumResult, 'job' | 'stats' | 'finishedAt'>>> {
  if (datums.length === 0) return new Map()
  const rows = await tx.all<StatsRow & { readonly finished_at: number }>(
    `SELECT datum, job, finished_at, download_ms, process_ms, upload_ms, download_bytes, upload_bytes
      FROM datum_results WHERE datum IN (${datums.map(() => '?').join(', ')})`,
    ...datums,
  )
  return new Map(
    rows.map((row) => [
      row.datum as DatumKey,
      { job: row.job as JobId, stats: statsOf(row), finishedAt: row.finished_at },
    ]),
  )
}

/**
 * The results of `datums` (at most a few hundred at a time) that can be reused, by datum key: those
 * that have not been collected.
 */
export async function findResults(
  tx: ReadTransaction,
  datums: readonly DatumKey[],
): Promise<ReadonlyMap<DatumKey, ReusableResult>> {
  if (datums.length === 0) return new Map()
  const rows = await tx.all<ReusableRow>(
    `SELECT datum, job, output_root, output_bytes, output_files, download_ms, process_ms,
        upload_ms, download_bytes, upload_bytes FROM datum_results
      WHERE output_root <> '' AND datum IN (${datums.map(() => '?').join(', ')})`,
    ...datums,
  )
  return new Map(
    rows.map((row) => [
      row.datum as DatumKey,
      { job: row.job as JobId, output: outputOf(row), stats: statsOf(row) },
    ]),
  )
}

/** As `findResults`, the outputs alone. */
export async function findOutputs(
  tx: ReadTransaction,
  datums: readonly DatumKey[],
): Promise<ReadonlyMap<DatumKey, DirectoryEntry>> {
  if (datums.length === 0) return new Map()
  const rows = await tx.all<OutputRow & { readonly datum: string }>(
    `SELECT datum, output_root, output_bytes, output_files FROM datum_results
      WHERE output_root <> '' AND datum IN (${datums.map(() => '?').join(', ')})`,
    ...datums,
  )
  return new Map(rows.map((row) => [row.datum as DatumKey, outputOf(row)]))
}

/** Those of `datums` (at most a few hundred) whose result `job` made. */
export async function resultsAmong(
  tx: ReadTransaction,
  job: JobId,
  datums: readonly DatumKey[],
): Promise<ReadonlySet<DatumKey>> {
  if (datums.length === 0) return new Set()
  const rows = await tx.all<{ readonly datum: string }>(
    `SELECT datum FROM datum_results
      WHERE job = ? AND datum IN (${datums.map(() => '?').join(', ')})`,
    job,
    ...datums,
  )
  return new Set(rows.map(({ datum }) => datum as DatumKey))
}

export async function deleteResults(tx: Transaction, datums: readonly string[]): Promise<void> {
  for (const datum of datums) await tx.run('DELETE FROM datum_results WHERE datum = ?', datum)
}

/**
 * Records a result; the first one stands, for a datum's effect counts once. True when the one that
 * stands is of the job of this one.
 */
export async function insertResult(
  tx: Transaction,
  lineage: Lineage,
  result: DatumResult,
): Promise<boolean> {
  if ((await insertInto(tx, 'datum_results', lineage, result)) > 0) return true
  const { datum, job } = result
  return (await resultsAmong(tx, job, [datum])).has(datum)
}

/** Keeps a result of an old cluster for `adoptImportedResults`; the first one stands. */
export async function stageImportedResult(
  tx: Transaction,
  lineage: Lineage,
  result: DatumResult,
): Promise<void> {
  await insertInto(tx, 'imported_results', lineage, result)
}

/** The outputs of those of `datums` (at most a few hundred) that were staged. */
export async function findImportedOutputs(
  tx: ReadTransaction,
  datums: readonly DatumKey[],
): Promise<ReadonlyMap<DatumKey, DirectoryEntry>> {
  if (datums.length === 0) return new Map()
  const rows = await tx.all<OutputRow & { readonly datum: string }>(
    `SELECT datum, output_root, output_bytes, output_files FROM imported_results
      WHERE datum IN (${datums.map(() => '?').join(', ')})`,
    ...datums,
  )
  return new Map(rows.map((row) => [row.datum as DatumKey, outputOf(row)]))
}

/** Makes the results that were staged those of the pipelines that are here now; returns how many. */
export async function adoptImportedResults(tx: Transaction): Promise<number> {
  const columns = `datum, pipeline_id, salt, job, members, output_root, output_bytes, output_files,
    download_ms, process_ms, upload_ms, download_bytes, upload_bytes, finished_at, worker, logs`
  const count = await tx.run(
    `INSERT INTO datum_results (${columns}) SELECT ${columns} FROM imported_results WHERE true
      ON CONFLICT (datum) DO NOTHING`,
  )
  await forgetImportedResults(tx)
  return count
}

export async function forgetImportedResults(tx: Transaction): Promise<void> {
  await tx.run('DELETE FROM imported_results')
}

async function insertInto(
  tx: Transaction,
  table: 'datum_results' | 'imported_results',
  { lineageId, salt }: Lineage,
  result: DatumResult,
): Promise<number> {
  const { output, stats } = result
  return await tx.run(
    `INSERT INTO ${table} (datum, pipeline_id, salt, job, members, output_root, output_bytes,
        output_files, download_ms, process_ms, upload_ms, download_bytes, upload_bytes,
        finished_at, worker, logs)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (datum) DO NOTHING`,
    result.datum,
    lineageId,
    salt,
    result.job,
    encodeMembers(result.members),
    output.root,
    output.sizeBytes,
    output.fileCount,
    stats.downloadMs,
    stats.processMs,
    stats.uploadMs,
    stats.downloadBytes,
    stats.uploadBytes,
    result.finishedAt,
    result.worker,
    result.log,
  )
}

export async function insertFailure(tx: Transaction, failure: DatumFailure): Promise<void> {
  const { stats } = failure
  await tx.run(
    `INSERT INTO datum_failures (job, datum, members, reason, download_ms, process_ms, upload_ms,
        download_bytes, upload_bytes, finished_at, worker, recovered, stopped, logs)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job, datum) DO NOTHING`,
    failure.job,
    failure.datum,
    encodeMembers(failure.members),
    failure.reason,
    stats.downloadMs,
    stats.processMs,
    stats.uploadMs,
    stats.downloadBytes,
    stats.uploadBytes,
    failure.finishedAt,
    failure.worker,
    failure.isRecovered ? 1 : 0,
    failure.isStopped === true ? 1 : 0,
    failure.log,
  )
}

/** How a datum ended that a job has: by a result of its own or of another job, or given up by it. */
export interface DatumRun extends Pick<DatumResult, 'job' | 'stats' | 'worker' | 'log'> {
  readonly output: DirectoryEntry | undefined
  /** Why it was given up. */
  readonly failure: string | undefined
}

interface RunRow extends StatsRow, OutputRow {
  readonly worker: string
  readonly logs: Uint8Array
}

/** The ends of those of `datums` (a few, for they come with their logs) that have one. */
export async function findRuns(
  tx: ReadTransaction,
  job: JobId,
  datums: readonly DatumKey[],
): Promise<ReadonlyMap<DatumKey, DatumRun>> {
  const runs = new Map<DatumKey, DatumRun>()
  if (datums.length === 0) return runs
  const among = `datum IN (${datums.map(() => '?').join(', ')})`
  const failures = await tx.all<RunRow & { readonly reason: string }>(
    `SELECT *, '' AS output_root, 0 AS output_bytes, 0 AS output_files FROM datum_failures
      WHERE job = ? AND ${among}`,
    job,
    ...datums,
  )
  for (const row of failures) {
    runs.set(row.datum as DatumKey, { ...runOf(row), output: undefined, failure: row.reason })
  }
  for (const row of await tx.all<RunRow>(`SELECT * FROM datum_results WHERE ${among}`, ...datums)) {
    const output = row.output_root === '' ? undefined : outputOf(row)
    runs.set(row.datum as DatumKey, { ...runOf(row), output, failure: undefined })
  }
  return runs
}

function runOf(row: RunRow): Pick<DatumRun, 'job' | 'stats' | 'worker' | 'log'> {
  return { job: row.job as JobId, stats: statsOf(row), worker: row.worker, log: row.logs }
}

/** Datums whose result a job made, behind `after`, in the order in which they came: a page. */
export async function resultKeysOf(
  tx: ReadTransaction,
  job: JobId,
  after: { readonly at: number; readonly datum: string },
): Promise<readonly { readonly at: number; readonly datum: string }[]> {
  return await tx.all<{ readonly at: number; readonly datum: string }>(
    `SELECT finished_at AS at, datum FROM datum_results
      WHERE job = ? AND (finished_at, datum) > (?, ?) ORDER BY finished_at, datum LIMIT 500`,
    job,
    after.at,
    after.datum,
  )
}

/** What a datum is made of, as far as a result, or a failure in `job`, says it. */
export async function membersOf(
  tx: ReadTransaction,
  job: JobId,
  datum: string,
): Promise<readonly DatumMember[] | undefined> {
  const row = await tx.get<{ readonly members: string }>(
    `SELECT members FROM datum_results WHERE datum = ?
      UNION ALL SELECT members FROM datum_failures WHERE job = ? AND datum = ? LIMIT 1`,
    datum,
    job,
    datum,
  )
  return row && decodeMembers(row.members)
}

/** The job that ran a datum last, to a result or until it gave it up. */
export async function latestRunOf(
  tx: ReadTransaction,
  datum: string,
): Promise<{ readonly job: JobId } | undefined> {
  const row = await tx.get<{ readonly job: string; readonly finished_at: number }>(
    `SELECT job, finished_at FROM datum_results WHERE datum = ?
      UNION ALL SELECT job, finished_at FROM datum_failures WHERE datum = ?
      ORDER BY finished_at DESC LIMIT 1`,
    datum,
    datum,
  )
  return row && { job: row.job as JobId }
}

/** The datums that `job` gave up, or that ran when it was ended, without their logs; those of `datums` only. */
export async function failuresAmong(
  tx: ReadTransaction,
  job: JobId,
  datums: readonly DatumKey[],
): Promise<
  ReadonlyMap<DatumKey, Pick<DatumFailure, 'reason' | 'stats' | 'isRecovered' | 'isStopped'>>
> {
  if (datums.length === 0) return new Map()
  type FailureRow = StatsRow & {
    readonly reason: string
    readonly recovered: number
    readonly stopped: number
  }
  const rows = await tx.all<FailureRow>(
    `SELECT datum, job, reason, recovered, stopped, download_ms, process_ms, upload_ms, download_bytes, upload_bytes
      FROM datum_failures WHERE job = ? AND datum IN (${datums.map(() => '?').join(', ')})`,
    job,
    ...datums,
  )
  return new Map(
    rows.map(({ reason, recovered, stopped, ...row }) => [
      row.datum as DatumKey,
      { reason, isRecovered: recovered === 1, isStopped: stopped === 1, stats: statsOf(row) },
    ]),
  )
}

/** How many datums failed `job`, and the first of them; undefined when there is none. */
export async function firstFailure(
  tx: ReadTransaction,
  job: JobId,
): Promise<
  | {
      readonly first: Pick<DatumFailure, 'datum' | 'members' | 'reason'>
      readonly count: number
    }
  | undefined
> {
  const first = await tx.get<{
    readonly datum: string
    readonly members: string
    readonly reason: string
  }>(
    `SELECT datum, members, reason FROM datum_failures WHERE job = ? AND recovered = 0 AND stopped = 0
      ORDER BY finished_at, datum LIMIT 1`,
    job,
  )
  if (first === undefined) return undefined
  const row = await tx.get<{ readonly count: number }>(
    'SELECT COUNT(*) AS count FROM datum_failures WHERE job = ? AND recovered = 0 AND stopped = 0',
    job,
  )
  const { datum, members, reason } = first
  return {
    first: { datum: datum as DatumKey, members: decodeMembers(members), reason },
    count: row?.count ?? 1,
  }
}

function outputOf(row: OutputRow): DirectoryEntry {
  return {
    kind: 'directory',
    root: row.output_root as TreeRoot,
    sizeBytes: row.output_bytes,
    fileCount: row.output_files,
  }
}

function encodeMembers(members: readonly DatumMember[]): string {
  return JSON.stringify(members.map(({ input, path, hash }) => [input, path, hexText(hash)]))
}

export function decodeMembers(text: string): readonly DatumMember[] {
  const rows = JSON.parse(text) as readonly [string, string, string][]
  return rows.map(([input, path, hash]) => ({
    input,
    path: path as FilePath,
    hash: hexBytes(hash),
  }))
}
