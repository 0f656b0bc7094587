import type { Instant } from '../../base/clock.ts'
import type { CommitId } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import { commitNotFound, resolveCommitId } from '../commit-records.ts'
import { CommitFinishedError, CommitNotOpenError } from '../errors.ts'
import type { StagedColumns } from './staged-rows.ts'

/** What the errors about a commit that is not open are about: the text depends on the call. */
export type WriteCall = 'put' | 'delete'

export type StageResult =
  | { readonly kind: 'staged'; readonly id: CommitId; readonly sequence: number }
  /** The commit is being finished: try again soon. */
  | { readonly kind: 'sealed' }
  /** Another write has come after the one that was to be the last before this. */
  | { readonly kind: 'outrun' }

export interface StageTarget {
  readonly repo: string
  /** A branch or an id. */
  readonly name: string
  readonly call: WriteCall
  readonly now: Instant
  /** Stage only right after this write. */
  readonly after?: number | undefined
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
    'SELECT id, finished_at, staged_last, sealed_until FROM commits WHERE id = ? AND repo = ?',
    id,
    repo,
  )
  if (row === undefined) throw await commitNotFound(tx, repo, name)
  if (row.finished_at === null) return row
  if (call === 'put') throw new CommitNotOpenError(repo, row.id)
  throw new CommitFinishedError(repo, row.id, 'change')
}

/** Appends a staged write to an open commit. */
export async function stageWrite(
  tx: Transaction,
  commit: StageTarget,
  columns: StagedColumns,
): Promise<StageResult> {
  const row = await requireOpen(tx, commit)
  if (isSealed(row.sealed_until, commit.now)) return { kind: 'sealed' }
  if (commit.after !== undefined && row.staged_last !== commit.after) return { kind: 'outrun' }
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
