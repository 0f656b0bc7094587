import { utf8 } from '../../base/bytes.ts'
import type { CheckRun } from '../../base/check-run.ts'
import type { Database, ReadTransaction } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'
import { versioningFinding } from '../versioning-findings.ts'

interface Ports {
  readonly database: Database
  readonly run: CheckRun
}

interface TransactionRow {
  readonly [column: string]: string | number | null
  readonly id: string
  readonly finished_at: number | null
  readonly operation_count: number
  readonly size_bytes: number
}

interface OperationRow {
  readonly [column: string]: string | number | null
  readonly position: number
  readonly operation: string
  readonly result_repo: string | null
  readonly result_id: string | null
}

const leftOver = `FROM transaction_operations
  WHERE NOT EXISTS (SELECT 1 FROM transactions t WHERE t.id = transaction_operations.id)`

/** Transactions have all of their operations, and these make sense. */
export async function checkTransactions({ database, run }: Ports): Promise<void> {
  run.stage = 'transactions'
  const query = {
    sql: `SELECT id, finished_at, operation_count, size_bytes FROM transactions
      WHERE id > ? ORDER BY id`,
    first: [''],
    keyOf: ({ id }: TransactionRow) => [id],
  }
  for await (const page of pagesOf<TransactionRow>(database, query)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const { id } of page) {
      const problem = await database.read((tx) => problemOf(tx, id))
      if (problem === undefined) continue
      await run.report({
        kind: versioningFinding('transaction-damaged'),
        subject: {},
        what: `transaction ${id} ${problem}`,
      })
    }
  }
  const row = await database.read((tx) =>
    tx.get<{ readonly count: number }>(`SELECT COUNT(*) AS count ${leftOver}`),
  )
  if (row === undefined || row.count === 0) return
  await run.report({
    kind: versioningFinding('transaction-rows-left-over'),
    subject: {},
    what: `${row.count} rows are operations of transactions that do not exist`,
    repair: async () => (await database.transact((tx) => tx.run(`DELETE ${leftOver}`))) > 0,
  })
}

/** Of one snapshot; undefined also when it is gone meanwhile. */
async function problemOf(tx: ReadTransaction, id: string): Promise<string | undefined> {
  const row = await tx.get<TransactionRow>(
    'SELECT id, finished_at, operation_count, size_bytes FROM transactions WHERE id = ?',
    id,
  )
  if (row === undefined) return undefined
  // What a transaction may take bounds them.
  const operations = await tx.all<OperationRow>(
    `SELECT position, operation, result_repo, result_id FROM transaction_operations
      WHERE id = ? ORDER BY position`,
    id,
  )
  if (operations.length !== row.operation_count) {
    return `has ${operations.length} operations, and ${row.operation_count} are said`
  }
  let sizeBytes = 0
  for (const [index, { position, operation, ...result }] of operations.entries()) {
    if (position !== index) return `has no operation ${index}`
    if (!isOperation(operation)) return `has an operation ${index} that makes no sense`
    const isPartly = (result.result_repo === null) !== (result.result_id === null)
    const isEarly = row.finished_at === null && result.result_id !== null
    if (isPartly || isEarly) return `says a result of operation ${index} that it cannot have`
    sizeBytes += utf8(operation).length
  }
  if (sizeBytes === row.size_bytes) return undefined
  return `has operations of ${sizeBytes} bytes, and ${row.size_bytes} are said`
}

function isOperation(text: string): boolean {
  try {
    const operation: unknown = JSON.parse(text)
    return (
      typeof operation === 'object' &&
      operation !== null &&
      'kind' in operation &&
      typeof operation.kind === 'string'
    )
  } catch {
    return false
  }
}
