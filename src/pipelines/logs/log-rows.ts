import type { Instant } from '../../base/clock.ts'
import type { JobId } from '../../base/names.ts'
import type { ReadTransaction, SqlRow } from '../../database/database.ts'
import { decodeLog, type KeptLine } from '../datum-logs.ts'
import { decodeMembers } from '../datum-results.ts'
import type { DatumKey, DatumMember } from '../datums.ts'

/** A run of a datum that has ended, as its row says it but for the log. */
export interface EndedRun {
  readonly kind: 'result' | 'failure'
  readonly job: JobId
  readonly datum: DatumKey
  readonly members: readonly DatumMember[]
  readonly finishedAt: Instant
}

interface RunRow extends SqlRow {
  readonly kind: EndedRun['kind']
  readonly job: string
  readonly datum: string
  readonly members: string
  readonly finished_at: number
}

export type RunOrder = 'oldest first' | 'newest first'

export interface RunPage {
  /** The run behind which to go on, in that order. */
  readonly after: Pick<EndedRun, 'finishedAt' | 'datum'> | undefined
  readonly order: RunOrder
  readonly countMax: number
  /** Only those that ended then or later. */
  readonly since: Instant
}

const beforeAll: NonNullable<RunPage['after']> = { finishedAt: -1, datum: '' as DatumKey }
const behindAll: NonNullable<RunPage['after']> = {
  finishedAt: Number.MAX_SAFE_INTEGER,
  datum: '' as DatumKey,
}

/** Runs of a job's datums in the order in which they ended, or the reverse. */
export async function endedRuns(
  tx: ReadTransaction,
  job: JobId,
  { after, order, countMax, since }: RunPage,
): Promise<readonly EndedRun[]> {
  const isOldestFirst = order === 'oldest first'
  const direction = isOldestFirst ? 'ASC' : 'DESC'
  const sorted = `ORDER BY finished_at ${direction}, datum ${direction} LIMIT ?`
  const part = (kind: EndedRun['kind'], table: string): string =>
    `SELECT * FROM (SELECT '${kind}' AS kind, job, datum, members, finished_at FROM ${table}
      WHERE job = ? AND (finished_at, datum) ${isOldestFirst ? '>' : '<'} (?, ?)
        AND finished_at >= ? ${sorted}) AS ${kind}s`
  const from = after ?? (isOldestFirst ? beforeAll : behindAll)
  const parameters = [job, from.finishedAt, from.datum, since, countMax]
  const rows = await tx.all<RunRow>(
    `${part('result', 'datum_results')} UNION ALL ${part('failure', 'datum_failures')} ${sorted}`,
    ...parameters,
    ...parameters,
    countMax,
  )
  return rows.map(runOf)
}

const isOfJob = 'EXISTS (SELECT 1 FROM jobs WHERE jobs.id = job)'

/** The latest runs of a datum by any job that there is, oldest first; at most `countMax`. */
export async function endedRunsOfDatum(
  tx: ReadTransaction,
  datum: string,
  countMax: number,
): Promise<readonly EndedRun[]> {
  const rows = await tx.all<RunRow>(
    `SELECT 'result' AS kind, job, datum, members, finished_at FROM datum_results
        WHERE datum = ? AND ${isOfJob}
      UNION ALL SELECT 'failure' AS kind, job, datum, members, finished_at FROM datum_failures
        WHERE datum = ? AND ${isOfJob} ORDER BY finished_at DESC LIMIT ?`,
    datum,
    datum,
    countMax,
  )
  return rows.map(runOf).toReversed()
}

/** Of those of `datums` (at most a few hundred) that have a result, the runs that made it. */
export async function runsOfResults(
  tx: ReadTransaction,
  datums: readonly DatumKey[],
): Promise<readonly EndedRun[]> {
  if (datums.length === 0) return []
  const rows = await tx.all<RunRow>(
    `SELECT 'result' AS kind, job, datum, members, finished_at FROM datum_results
      WHERE datum IN (${datums.map(() => '?').join(', ')})`,
    ...datums,
  )
  return rows.map(runOf)
}

/** Undefined when the row has gone meanwhile. */
export async function readLog(
  tx: ReadTransaction,
  { kind, job, datum }: EndedRun,
): Promise<{ readonly worker: string; readonly lines: readonly KeptLine[] } | undefined> {
  type LogRow = { readonly worker: string; readonly logs: Uint8Array }
  const row =
    kind === 'result'
      ? await tx.get<LogRow>('SELECT worker, logs FROM datum_results WHERE datum = ?', datum)
      : await tx.get<LogRow>(
          'SELECT worker, logs FROM datum_failures WHERE job = ? AND datum = ?',
          job,
          datum,
        )
  return row && { worker: row.worker, lines: decodeLog(row.logs) }
}

function runOf(row: RunRow): EndedRun {
  // Rows are written from checked values only.
  return {
    kind: row.kind,
    job: row.job as JobId,
    datum: row.datum as DatumKey,
    members: decodeMembers(row.members),
    finishedAt: row.finished_at,
  }
}
