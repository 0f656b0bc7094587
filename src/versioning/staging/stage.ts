import type { Instant } from '../../base/clock.ts'
import { assert } from '../../base/errors.ts'
import type { CommitId } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import { commitNotFound, resolveCommitId } from '../commit-records.ts'
import { CommitFinishedError, CommitNotOpenError } from '../errors.ts'
import type { VersioningPorts } from '../ports.ts'
import { checkCancelled } from '../records/cancellation.ts'
import { isInRepo } from '../records/deleted-repos.ts'
import { addPart } from '../records/held-commits.ts'
import type { StagedColumns } from './staged-rows.ts'

/** How often writes that wait for a sealed commit look again. */
const sealedPollMs = 20

/** What the errors about a commit that is not open are about: the text depends on the call. */
export type WriteCall = 'put' | 'delete'

export type StageResult =
  | { readonly kind: 'staged'; readonly id: CommitId; readonly sequence: number }
  /** The commit is being finished: try again soon. */
  | { readonly kind: 'sealed' }
  /** Another write has come after the one that was to be the last before this. */
  | { readonly kind: 'outrun' }

interface StageTarget {
  readonly repo: string
  /** As in `resolveCommitId`. */
  readonly name: string
  readonly call: WriteCall
  /** Stage only right after this write. */
  readonly after?: number | undefined
  /** Another write is to complete it: see `Commits.giveUp`. */
  readonly isPart?: boolean | undefined
}

/** How long puts wait for a sealed commit at most, should the one that sealed it be gone. */
export const sealMicros = 30_000_000

/**
 * A seal lasts at most `sealMicros`. One that seems to last longer was made before the clock was set
 * back, and by somebody who is gone by then or makes another.
 */
function isSealed(sealedUntil: number, now: Instant): boolean {
  return sealedUntil > now && sealedUntil <= now + sealMicros
}

type OpenRow = {
  readonly id: CommitId
  readonly finished_at: number | null
  readonly staged_last: number
  readonly sealed_until: number
}

/** The commit that `name` says, which must be open. */
export async function requireOpen(
  tx: ReadTransaction,
  commit: { readonly repo: string; readonly name: string; readonly call: WriteCall },
): Promise<OpenRow> {
  const { repo, name, call } = commit
  const id = await resolveCommitId(tx, repo, name)
  const row = await tx.get<OpenRow>(
    `SELECT id, finished_at, staged_last, sealed_until FROM commits
      WHERE id = ? AND repo = ? AND ${isInRepo}`,
    id,
    repo,
  )
  if (row === undefined) throw await commitNotFound(tx, repo, name, { isForPut: call === 'put' })
  if (row.finished_at === null) return row
  if (call === 'put') throw new CommitNotOpenError(repo, row.id)
  throw new CommitFinishedError(repo, row.id, 'change')
}

/** One write to one commit. */
export interface WriteToStage extends StageTarget {
  readonly columns: StagedColumns
}

/**
 * Stages writes to open commits (each commit once), all or none; waits while one is sealed. The
 * result is that of the first.
 */
export async function stageWrites(
  { clock, database }: Pick<VersioningPorts, 'clock' | 'database'>,
  writes: readonly WriteToStage[],
  signal: AbortSignal | undefined,
): Promise<Exclude<StageResult, { readonly kind: 'sealed' }>> {
  for (;;) {
    checkCancelled(signal)
    const now = clock.now()
    const result = await database.transact((tx) => tryStage(tx, writes, now))
    if (result.kind !== 'sealed') return result
    // A finish is at work that puts kept outrunning; it takes as long as one build.
    await clock.sleep(sealedPollMs, signal)
  }
}

async function tryStage(
  tx: Transaction,
  writes: readonly WriteToStage[],
  now: Instant,
): Promise<StageResult> {
  const rows: {
    readonly row: OpenRow
    readonly columns: StagedColumns
    readonly isPart: boolean | undefined
  }[] = []
  for (const { columns, isPart, ...commit } of writes) {
    const row = await requireOpen(tx, commit)
    if (isSealed(row.sealed_until, now)) return { kind: 'sealed' }
    if (commit.after !== undefined && row.staged_last !== commit.after) return { kind: 'outrun' }
    rows.push({ row, columns, isPart })
  }
  let first: StageResult | undefined
  for (const { row, columns, isPart } of rows) {
    const result = await appendStaged(tx, row, columns)
    if (isPart === true) await addPart(tx, row.id)
    first ??= result
  }
  assert(first !== undefined, 'there is something to stage')
  return first
}

/** Stages a write to a commit whose row says that it is open, whether or not it is sealed. */
export async function appendStaged(
  tx: Transaction,
  row: OpenRow,
  columns: StagedColumns,
): Promise<StageResult & { readonly kind: 'staged' }> {
  const sequence = row.staged_last + 1
  await tx.run('UPDATE commits SET staged_last = ? WHERE id = ?', sequence, row.id)
  await tx.run(
    'INSERT INTO staged_writes (id, sequence, kind, path_key, payload) VALUES (?, ?, ?, ?, ?)',
    row.id,
    sequence,
    columns.kind,
    columns.path_key,
    columns.payload,
  )
  return { kind: 'staged', id: row.id, sequence }
}
