import type { Instant } from '../base/clock.ts'
import type { JobId } from '../base/names.ts'
import type { Database, ReadTransaction, Transaction } from '../database/database.ts'
import { setJobState } from './job-records.ts'
import { unendedStates } from './states.ts'

/** Jobs that are killed in one transaction: each is a row, and an event for those who wait for it. */
const killedAtOnceMax = 100

/** What jobs say that end together. */
interface Killing {
  readonly reason: string
  readonly at: Instant
}

/**
 * Ends every job of a pipeline that has not ended. Of more than a few that have not begun, it is only
 * noted that none of them will: their rows are left to `killNotedJobs`, which is to be called.
 */
export async function killJobs(
  tx: Transaction,
  pipelineId: string,
  { reason, at }: Killing,
): Promise<void> {
  for (const state of ['running', 'starting'] as const) {
    const ids = await someJobs(tx, { pipelineId, state, upTo: Number.MAX_SAFE_INTEGER })
    for (const id of ids) await setJobState(tx, id, { state: 'killed', reason, at })
  }
  await tx.run(
    `INSERT INTO killed_jobs (pipeline_id, sequence, reason, killed_at)
      SELECT pipeline_id, MAX(sequence), ?, ? FROM jobs
        WHERE pipeline_id = ? AND state IN ${unendedStates} GROUP BY pipeline_id
      ON CONFLICT (pipeline_id) DO UPDATE SET sequence = excluded.sequence,
        reason = excluded.reason, killed_at = excluded.killed_at`,
    reason,
    at,
    pipelineId,
  )
}

/**
 * Ends the jobs of which that is noted, a few at a time. When it stops early, in whatever way, the
 * next call goes on; several at once do no harm.
 */
export async function killNotedJobs(database: Database, signal?: AbortSignal): Promise<void> {
  const noted = await database.read((tx) =>
    tx.all<{ readonly pipeline_id: string }>(
      'SELECT pipeline_id FROM killed_jobs ORDER BY pipeline_id',
    ),
  )
  for (const { pipeline_id: pipelineId } of noted) {
    for (let isMore = true; isMore;) {
      if (signal?.aborted === true) return
      isMore = await database.transact((tx) => killSome(tx, pipelineId), { usesReserve: true })
    }
  }
}

/** False when none is left. */
async function killSome(tx: Transaction, pipelineId: string): Promise<boolean> {
  const noted = await tx.get<{
    readonly sequence: number
    readonly reason: string
    readonly killed_at: number
  }>('SELECT sequence, reason, killed_at FROM killed_jobs WHERE pipeline_id = ?', pipelineId)
  if (noted === undefined) return false
  const { reason, killed_at: at, sequence: upTo } = noted
  const ids = await someJobs(tx, { pipelineId, state: 'starting', upTo })
  for (const id of ids) await setJobState(tx, id, { state: 'killed', reason, at })
  if (ids.length === killedAtOnceMax) return true
  await tx.run('DELETE FROM killed_jobs WHERE pipeline_id = ?', pipelineId)
  return false
}

async function someJobs(
  tx: ReadTransaction,
  {
    pipelineId,
    state,
    upTo,
  }: {
    readonly pipelineId: string
    readonly state: 'starting' | 'running'
    readonly upTo: number
  },
): Promise<readonly JobId[]> {
  const rows = await tx.all<{ readonly id: JobId }>(
    `SELECT id FROM jobs WHERE pipeline_id = ? AND state = ? AND sequence <= ?
      ORDER BY sequence LIMIT ?`,
    pipelineId,
    state,
    upTo,
    killedAtOnceMax,
  )
  return rows.map(({ id }) => id)
}
