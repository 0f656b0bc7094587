import type {
  Database,
  DatabaseEvent,
  Migrations,
  ReadTransaction,
  Transaction,
} from '../../database/database.ts'
import { Connection } from '../../database/sqlite/connection.ts'
import { settleThisTurn } from '../../database/sqlite/microtasks.ts'
import { migrate } from '../../database/sqlite/store.ts'
import { ReadOnlyView, SqliteTransaction } from '../../database/sqlite/transaction.ts'
import { Watchers } from '../../database/sqlite/watchers.ts'
import type { Notice } from '../../database/sqlite/writer.ts'

const cacheBytes = 8 * 1024 * 1024

/** Rows in memory that outlive the processes that open them. */
export async function simulatedRows(migrations: readonly Migrations[]): Promise<Connection> {
  const rows = new Connection(':memory:', { cacheBytes })
  await migrate(rows, migrations, 'simulated')
  return rows
}

/**
 * A database as one process sees it: SQLite's rows, with a wait for the device before each operation
 * and before each answer to one that writes. A process that ends between the two has changed the
 * rows, and nobody was told.
 */
export class SimulatedDatabase implements Database {
  readonly #rows: Connection
  readonly #device: () => Promise<void>
  readonly #onCommitted: (topics: ReadonlySet<string>) => void
  readonly #watchers: Watchers
  readonly #unpublished: Notice[] = []

  /** `onCommitted` hears at once of each transaction, and of the topics that it emitted to. */
  constructor(
    rows: Connection,
    device: () => Promise<void>,
    onCommitted: (topics: ReadonlySet<string>) => void,
  ) {
    this.#rows = rows
    this.#device = device
    this.#onCommitted = onCommitted
    const last = rows.get<{ readonly last: number | null }>(
      'SELECT MAX(sequence) AS last FROM database_events',
    )
    this.#watchers = new Watchers((operation) => this.read(operation), last?.last ?? 0)
  }

  async transact<Result>(operation: (tx: Transaction) => Promise<Result>): Promise<Result> {
    await this.#device()
    const tx = new SqliteTransaction(this.#rows)
    this.#rows.run('BEGIN IMMEDIATE')
    let result: Result
    try {
      result = await settleThisTurn((async () => await operation(tx))())
      tx.end()
      this.#rows.run('COMMIT')
    } catch (error) {
      tx.abandon()
      this.#rows.run('ROLLBACK')
      throw error
    }
    this.#onCommitted(tx.topics)
    const notice = { topics: tx.topics, lastSequence: tx.lastSequence }
    this.#unpublished.push(notice)
    await this.#device()
    this.#publishUpTo(notice)
    return result
  }

  /** In the order of the log, as one writer does it: what is durable makes durable what was before. */
  #publishUpTo(notice: Notice): void {
    const count = this.#unpublished.indexOf(notice) + 1
    for (const one of this.#unpublished.splice(0, count)) this.#watchers.publish(one)
  }

  async read<Result>(operation: (tx: ReadTransaction) => Promise<Result>): Promise<Result> {
    await this.#device()
    const tx = new SqliteTransaction(this.#rows)
    try {
      const result = await settleThisTurn((async () => await operation(new ReadOnlyView(tx)))())
      tx.end()
      return result
    } catch (error) {
      tx.abandon()
      throw error
    }
  }

  watch(
    topics: readonly string[],
    options: { readonly after?: number; readonly signal: AbortSignal },
  ): AsyncIterable<DatabaseEvent> {
    return this.#watchers.watch(topics, options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The rows stay for the next process.
  }
}
