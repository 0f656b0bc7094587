import type { CommitId, PipelineName, RepoName } from '../../base/names.ts'
import type { ReadTransaction, SqlRow, Transaction } from '../../database/database.ts'
import { commitsAmong } from '../../versioning/commit-records.ts'
import { rootReposOf } from './root-commits.ts'

/** Rows that are read at once. */
export const pageMax = 100
/** Pages of arrivals that are looked through at once for such whose commits are gone. */
const gonePagesMax = 10

/** In place of a position that an arrival lacks: it may be chosen. */
export const lacksNothing = -1

/** What an update keeps has sequences up to this, far below those of any history; see `keepFollowed`. */
export const keptMax: number = -(2 ** 40)

/** A commit that has arrived on one of a pipeline's input branches. */
export interface Arrival {
  /** Orders the arrivals of one pipeline. */
  readonly sequence: number
  /** Of the branch among the pipeline's inputs. */
  readonly position: number
  readonly commit: CommitId
}

/** May be infinite at both ends. */
export interface SequenceRange {
  readonly from: number
  readonly below: number
}

export const always: SequenceRange = { from: -Infinity, below: Infinity }

export interface ArrivalRow extends SqlRow {
  readonly sequence: number
  readonly position: number
  readonly commit_id: string
}

/** A commit that is about to be noted. */
export interface NewArrival extends Omit<Arrival, 'sequence'> {
  /** The same number for those that a job must not read apart; null for one by itself. */
  readonly together: number | null
}

/** Where those that came together stand: what is before a member of its position is older. */
export interface Member {
  readonly together: number
  readonly position: number
  readonly sequence: number
}

/** Notes commits after all others, above 0. More than one have come together. */
export async function noteNewest(
  tx: Transaction,
  pipeline: string,
  arrivals: readonly Omit<Arrival, 'sequence'>[],
): Promise<void> {
  const last = await tx.get<{ readonly last: number }>(
    'SELECT COALESCE(MAX(sequence), 0) AS last FROM pipeline_arrivals WHERE pipeline = ?',
    pipeline,
  )
  const first = Math.max(0, last?.last ?? 0) + 1
  const together = arrivals.length > 1 ? first : null
  for (const [index, arrival] of arrivals.entries()) {
    await note(tx, pipeline, { ...arrival, together, sequence: first + index })
  }
}

/** Notes a commit that is known to have been used, or not, where nothing has been noted after it. */
export async function noteKnown(
  tx: Transaction,
  pipeline: string,
  arrival: Arrival,
  state: 'new' | 'used',
): Promise<void> {
  await note(tx, pipeline, { ...arrival, together: null })
  if (state === 'new') return
  await setArrivalState(tx, pipeline as PipelineName, arrival, state)
}

/**
 * Notes commits before all others but those that an update keeps, below 1; each after those that follow
 * it in the list.
 */
export async function noteOlder(
  tx: Transaction,
  pipeline: string,
  newestFirst: readonly NewArrival[],
): Promise<void> {
  const first = await tx.get<{ readonly first: number }>(
    `SELECT COALESCE(MIN(sequence), 1) AS first FROM pipeline_arrivals
      WHERE pipeline = ? AND sequence > ?`,
    pipeline,
    keptMax,
  )
  let sequence = Math.min(1, first?.first ?? 1)
  for (const arrival of newestFirst) {
    sequence -= 1
    await note(tx, pipeline, { ...arrival, sequence })
  }
}

async function note(
  tx: Transaction,
  pipeline: string,
  arrival: NewArrival & Arrival,
): Promise<void> {
  await tx.run(
    `INSERT INTO pipeline_arrivals (pipeline, sequence, position, commit_id, state, together, roots)
      VALUES (?, ?, ?, ?, 'new', ?, ?)`,
    pipeline,
    arrival.sequence,
    arrival.position,
    arrival.commit,
    arrival.together,
    await rootReposOf(tx, arrival.commit),
  )
}

/** The members of every set. */
export async function allMembers(
  tx: ReadTransaction,
  pipeline: PipelineName,
): Promise<readonly Member[]> {
  return await tx.all<SqlRow & Member>(
    `SELECT together, position, sequence FROM pipeline_arrivals
      WHERE pipeline = ? AND together IS NOT NULL`,
    pipeline,
  )
}

/** Arrivals that have not been considered yet, oldest first. */
export async function newArrivals(
  tx: ReadTransaction,
  pipeline: PipelineName,
  countMax: number,
): Promise<readonly Arrival[]> {
  const rows = await tx.all<ArrivalRow>(
    // By the index of the state: in the order of the table come those that wait, too.
    `SELECT sequence, position, commit_id FROM pipeline_arrivals WHERE pipeline = ? AND sequence IN (
        SELECT sequence FROM pipeline_arrivals WHERE pipeline = ? AND state = 'new'
          ORDER BY sequence LIMIT ?)
      ORDER BY sequence`,
    pipeline,
    pipeline,
    countMax,
  )
  return rows.map(arrivalOf)
}

/** Whether a commit was on its branch before the pipeline was made or updated; see `noteOlder`. */
export function isOfHistory({ sequence }: Arrival): boolean {
  return sequence <= 0
}

/** What the latest job was made over: one for each position that has any, newest first. */
export async function usedArrivals(
  tx: ReadTransaction,
  pipeline: PipelineName,
): Promise<readonly Arrival[]> {
  const rows = await tx.all<ArrivalRow>(
    `SELECT sequence, position, commit_id FROM pipeline_arrivals WHERE pipeline = ? AND sequence IN (
        SELECT sequence FROM pipeline_arrivals WHERE pipeline = ? AND state = 'used')
      ORDER BY sequence DESC`,
    pipeline,
    pipeline,
  )
  return rows.map(arrivalOf)
}

/** Arrivals at `position` within `window`, newest first, page by page as they are pulled. */
export async function* arrivalsWithin(
  tx: ReadTransaction,
  pipeline: PipelineName,
  position: number,
  { from, below }: SequenceRange,
  rowsAtOnce: number = pageMax,
): AsyncGenerator<Arrival> {
  let before = below
  for (;;) {
    const rows = await tx.all<ArrivalRow>(
      // By the index of the position: in the order of the table come those of the other positions, too.
      `SELECT sequence, position, commit_id FROM pipeline_arrivals WHERE pipeline = ? AND sequence IN (
          SELECT sequence FROM pipeline_arrivals
            WHERE pipeline = ? AND position = ? AND sequence >= ? AND sequence < ?
            ORDER BY sequence DESC LIMIT ?)
        ORDER BY sequence DESC`,
      pipeline,
      pipeline,
      position,
      Math.max(from, Number.MIN_SAFE_INTEGER),
      Math.min(before, Number.MAX_SAFE_INTEGER),
      rowsAtOnce,
    )
    yield* rows.map(arrivalOf)
    const last = rows.at(-1)
    if (last === undefined || rows.length < rowsAtOnce) return
    before = last.sequence
  }
}

export async function setArrivalState(
  tx: Transaction,
  pipeline: PipelineName,
  arrival: Arrival,
  state: 'waiting' | 'used',
): Promise<void> {
  await tx.run(
    'UPDATE pipeline_arrivals SET state = ? WHERE pipeline = ? AND sequence = ?',
    state,
    pipeline,
    arrival.sequence,
  )
}

/**
 * Of an arrival and those before it on its branch, 1,000 at most, forgets such whose commits `repo` does not
 * have: it was deleted and made again. Returns their sequences.
 */
export async function forgetGone(
  tx: Transaction,
  pipeline: PipelineName,
  { position, sequence }: Arrival,
  repo: RepoName,
): Promise<readonly number[]> {
  const gone: number[] = []
  let below = sequence + 1
  for (let pageCount = 0; pageCount < gonePagesMax; pageCount += 1) {
    const page: Arrival[] = []
    for await (const one of arrivalsWithin(tx, pipeline, position, { from: -Infinity, below })) {
      page.push(one)
      below = one.sequence
      if (page.length === pageMax) break
    }
    const ids = page.map(({ commit }) => commit)
    const there = await commitsAmong(tx, repo, ids)
    const sequences = page.flatMap((one) => (there.has(one.commit) ? [] : [one.sequence]))
    if (sequences.length > 0) {
      await tx.run(
        `DELETE FROM pipeline_arrivals
          WHERE pipeline = ? AND sequence IN (${sequences.map(() => '?').join(', ')})`,
        pipeline,
        ...sequences,
      )
    }
    gone.push(...sequences)
    if (page.length < pageMax) break
  }
  return gone
}

/** Forgets what came before `arrival` on its branch, however much: in one statement, of some 10 µs for each. */
export async function forgetBefore(
  tx: Transaction,
  pipeline: PipelineName,
  { position, sequence }: Arrival,
): Promise<void> {
  await tx.run(
    // As in `arrivalsWithin`.
    `DELETE FROM pipeline_arrivals WHERE pipeline = ? AND sequence IN (
      SELECT sequence FROM pipeline_arrivals WHERE pipeline = ? AND position = ? AND sequence < ?)`,
    pipeline,
    pipeline,
    position,
    sequence,
  )
}

/** Forgets all that has arrived, and what of the history is still to be noted. */
export async function forgetArrivals(tx: Transaction, pipeline: PipelineName): Promise<void> {
  await tx.run('DELETE FROM pipeline_arrivals WHERE pipeline = ?', pipeline)
  await tx.run('DELETE FROM pipeline_histories WHERE pipeline = ?', pipeline)
}

/** Has what was noted for one pipeline be noted for another, in place of what was noted for that. */
export async function takeOverArrivals(
  tx: Transaction,
  from: PipelineName,
  to: PipelineName,
): Promise<void> {
  await forgetArrivals(tx, to)
  await tx.run(
    `UPDATE pipeline_arrivals SET pipeline = ?, lacks = ${lacksNothing} WHERE pipeline = ?`,
    to,
    from,
  )
  await tx.run('UPDATE pipeline_histories SET pipeline = ? WHERE pipeline = ?', to, from)
}

/**
 * Notes a commit in place of one that goes and was used, and has all that came to the other inputs after that
 * be considered anew: some of it may go with this one. What came after it to its own is in no job with it.
 */
export async function noteInPlace(
  tx: Transaction,
  pipeline: PipelineName,
  { position, sequence }: Arrival,
  commit: CommitId,
): Promise<void> {
  await tx.run(
    `UPDATE pipeline_arrivals SET commit_id = ?, roots = ?, together = NULL
      WHERE pipeline = ? AND sequence = ?`,
    commit,
    await rootReposOf(tx, commit),
    pipeline,
    sequence,
  )
  await tx.run(
    `UPDATE pipeline_arrivals SET state = 'new', lacks = ${lacksNothing}
      WHERE pipeline = ? AND sequence >= ? AND (position <> ? OR sequence = ?)`,
    pipeline,
    sequence,
    position,
    sequence,
  )
}

/** Forgets a commit that goes. The walk along a branch goes on at `heir`, the next that stays. */
export async function forgetCommit(
  tx: Transaction,
  commit: CommitId,
  heir: CommitId | undefined,
): Promise<void> {
  await tx.run('DELETE FROM pipeline_arrivals WHERE commit_id = ?', commit)
  if (heir === undefined) {
    await tx.run('DELETE FROM pipeline_histories WHERE commit_id = ?', commit)
  } else {
    await tx.run('UPDATE pipeline_histories SET commit_id = ? WHERE commit_id = ?', heir, commit)
  }
}

/** Where the walk along each input branch goes on: position → the newest commit not noted yet. */
export async function historyCursors(
  tx: ReadTransaction,
  pipeline: PipelineName,
): Promise<ReadonlyMap<number, CommitId>> {
  const rows = await tx.all<{ readonly position: number; readonly commit_id: string }>(
    'SELECT position, commit_id FROM pipeline_histories WHERE pipeline = ? ORDER BY position',
    pipeline,
  )
  return new Map(rows.map((row) => [row.position, row.commit_id as CommitId]))
}

export async function setHistoryCursors(
  tx: Transaction,
  pipeline: PipelineName,
  cursors: ReadonlyMap<number, CommitId>,
): Promise<void> {
  await tx.run('DELETE FROM pipeline_histories WHERE pipeline = ?', pipeline)
  for (const [position, commit] of cursors) {
    await tx.run(
      'INSERT INTO pipeline_histories (pipeline, position, commit_id) VALUES (?, ?, ?)',
      pipeline,
      position,
      commit,
    )
  }
}

/** Holds of a pipeline `p` with commits that are still to be noted or considered. */
const hasBacklogSql = `(EXISTS (SELECT 1 FROM pipeline_histories h WHERE h.pipeline = p.name)
  OR EXISTS (SELECT 1 FROM pipeline_arrivals a WHERE a.pipeline = p.name AND a.state = 'new'))`

/** Whether commits are still to be noted or considered. */
export async function hasBacklog(tx: ReadTransaction, pipeline: string): Promise<boolean> {
  const found = await tx.get(
    `SELECT name FROM pipelines p WHERE name = ? AND ${hasBacklogSql}`,
    pipeline,
  )
  return found !== undefined
}

/** The running pipelines that have a backlog, by name. */
export async function pipelinesWithBacklog(tx: ReadTransaction): Promise<readonly PipelineName[]> {
  const rows = await tx.all<{ readonly name: string }>(
    `SELECT name FROM pipelines p WHERE state = 'running' AND ${hasBacklogSql} ORDER BY name`,
  )
  return rows.map(({ name }) => name as PipelineName)
}

export function arrivalOf(row: ArrivalRow): Arrival {
  // Rows are written by this file only, from checked values.
  const { sequence, position, commit_id: commit } = row
  return { sequence, position, commit: commit as CommitId }
}
