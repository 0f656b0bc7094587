import type { Migrations } from '../database/database.ts'

/** The tables of `Transactions`. Meaning of each column: `docs/formats/metadata.md`. */
export const transactionMigrations: Migrations = {
  layer: 'transactions',
  steps: [
    [
      // finished_at is null while the transaction takes operations.
      `CREATE TABLE transactions ( -- clustered
        id TEXT NOT NULL PRIMARY KEY,
        description TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        finished_at INTEGER,
        operation_count INTEGER NOT NULL,
        size_bytes INTEGER NOT NULL
      )`,
      `CREATE INDEX transactions_by_start ON transactions (started_at, id)`,
      `CREATE INDEX transactions_by_finish ON transactions (finished_at)`,
      // operation: JSON. commit_id: what a start-commit will make. result_repo and result_id: the
      // commit that was started or finished; null before the transaction has finished.
      `CREATE TABLE transaction_operations ( -- clustered
        id TEXT NOT NULL,
        position INTEGER NOT NULL,
        operation TEXT NOT NULL,
        commit_id TEXT,
        result_repo TEXT,
        result_id TEXT,
        PRIMARY KEY (id, position)
      )`,
    ],
  ],
}
