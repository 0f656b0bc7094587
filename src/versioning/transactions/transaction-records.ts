import type { Instant } from '../../base/clock.ts'
import type { CommitId } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import type { Step, StepResult, StoredOperation } from '../operations.ts'
import { TransactionNotFoundError } from './transaction-errors.ts'

/** A transaction, without its operations. */
export interface TransactionSummary {
  readonly id: string
  readonly description: string
  readonly startedAt: Instant
  /** Undefined while it takes operations. */
  readonly finishedAt: Instant | undefined
  readonly operationCount: number
  /** Of its operations, as they are stored. */
  readonly sizeBytes: number
}

/** An operation of a stored transaction; the result is known when that has finished. */
export interface StoredStep extends Step {
  readonly operation: StoredOperation
  readonly result: StepResult | undefined
}

type SummaryRow = {
  readonly id: string
  readonly description: string
  readonly started_at: number
  readonly finished_at: number | null
  readonly operation_count: number
  readonly size_bytes: number
}
type StepRow = {
  readonly operation: string
  readonly commit_id: CommitId | null
  readonly result_repo: string | null
  readonly result_id: CommitId | null
}

const summaryColumns = 'id, description, started_at, finished_at, operation_count, size_bytes'

export async function insertTransaction(
  tx: Transaction,
  transaction: Pick<TransactionSummary, 'id' | 'description' | 'startedAt'>,
): Promise<void> {
  await tx.run(
    `INSERT INTO transactions (id, description, started_at, operation_count, size_bytes)
      VALUES (?, ?, ?, 0, 0)`,
    transaction.id,
    transaction.description,
    transaction.startedAt,
  )
}

/** @throws {TransactionNotFoundError} */
export async function getTransaction(tx: ReadTransaction, id: string): Promise<TransactionSummary> {
  const row = await tx.get<SummaryRow>(
    `SELECT ${summaryColumns} FROM transactions WHERE id = ?`,
    id,
  )
  if (row === undefined) throw new TransactionNotFoundError(id)
  return summaryOf(row)
}

export async function openTransactionCount(tx: ReadTransaction): Promise<number> {
  const row = await tx.get<{ readonly count: number }>(
    'SELECT count(*) AS count FROM transactions WHERE finished_at IS NULL',
  )
  return row?.count ?? 0
}

/** The latest started first, from after `last`. */
export async function transactionPage(
  tx: ReadTransaction,
  last: Pick<TransactionSummary, 'startedAt' | 'id'> | undefined,
  countMax: number,
): Promise<readonly TransactionSummary[]> {
  const { startedAt, id } = last ?? { startedAt: Number.MAX_SAFE_INTEGER, id: '' }
  const rows = await tx.all<SummaryRow>(
    `SELECT ${summaryColumns} FROM transactions WHERE (started_at, id) < (?, ?)
      ORDER BY started_at DESC, id DESC LIMIT ?`,
    startedAt,
    id,
    countMax,
  )
  return rows.map(summaryOf)
}

export async function transactionSteps(
  tx: ReadTransaction,
  id: string,
): Promise<readonly StoredStep[]> {
  const rows = await tx.all<StepRow>(
    `SELECT operation, commit_id, result_repo, result_id FROM transaction_operations
      WHERE id = ? ORDER BY position`,
    id,
  )
  return rows.map(stepOf)
}

/** Appends an operation, which is stored as `text`, to an open transaction. */
export async function appendStep(
  tx: Transaction,
  transaction: TransactionSummary,
  step: { readonly text: string; readonly sizeBytes: number; readonly id: CommitId | undefined },
): Promise<void> {
  await tx.run(
    'INSERT INTO transaction_operations (id, position, operation, commit_id) VALUES (?, ?, ?, ?)',
    transaction.id,
    transaction.operationCount,
    step.text,
    step.id ?? null,
  )
  await tx.run(
    `UPDATE transactions SET operation_count = operation_count + 1, size_bytes = size_bytes + ?
      WHERE id = ?`,
    step.sizeBytes,
    transaction.id,
  )
}

/** Remembers what became of a transaction, for a client that lost the answer. */
export async function setTransactionFinished(
  tx: Transaction,
  id: string,
  finishedAt: Instant,
  results: readonly (StepResult | undefined)[],
): Promise<void> {
  await tx.run('UPDATE transactions SET finished_at = ? WHERE id = ?', finishedAt, id)
  for (const [position, result] of results.entries()) {
    if (result === undefined) continue
    await tx.run(
      `UPDATE transaction_operations SET result_repo = ?, result_id = ?
        WHERE id = ? AND position = ?`,
      result.repo,
      result.id,
      id,
      position,
    )
  }
}

export async function deleteTransaction(tx: Transaction, id: string): Promise<void> {
  await tx.run('DELETE FROM transaction_operations WHERE id = ?', id)
  await tx.run('DELETE FROM transactions WHERE id = ?', id)
}

/** Finished transactions beyond the latest `countKept`, at most `countMax` of them. */
export async function finishedBeyond(
  tx: ReadTransaction,
  countKept: number,
  countMax: number,
): Promise<readonly string[]> {
  const rows = await tx.all<{ readonly id: string }>(
    `SELECT id FROM transactions WHERE finished_at IS NOT NULL
      ORDER BY finished_at DESC LIMIT ? OFFSET ?`,
    countMax,
    countKept,
  )
  return rows.map(({ id }) => id)
}

/** Open transactions started before one instant, and finished ones before another. */
export async function agedTransactions(
  tx: ReadTransaction,
  before: { readonly startedAt: Instant; readonly finishedAt: Instant },
  countMax: number,
): Promise<readonly string[]> {
  const rows = await tx.all<{ readonly id: string }>(
    `SELECT id FROM transactions WHERE (finished_at IS NULL AND started_at < ?)
      OR finished_at < ? ORDER BY started_at LIMIT ?`,
    before.startedAt,
    before.finishedAt,
    countMax,
  )
  return rows.map(({ id }) => id)
}

function summaryOf(row: SummaryRow): TransactionSummary {
  return {
    id: row.id,
    description: row.description,
    startedAt: row.started_at,
    finishedAt: row.finished_at ?? undefined,
    operationCount: row.operation_count,
    sizeBytes: row.size_bytes,
  }
}

function stepOf({ operation, commit_id: id, result_repo: repo, result_id }: StepRow): StoredStep {
  return {
    // Rows are written by `Transactions` only, from operations without bytes.
    operation: JSON.parse(operation) as StoredOperation,
    id: id ?? undefined,
    result: repo === null || result_id === null ? undefined : { repo, id: result_id },
  }
}
