import type { ReadTransaction, SqlRow, SqlValue, Transaction } from '../database.ts'
import type { Connection } from './connection.ts'

/** The size of a database page, and about what changing one row writes. */
const pageBytes = 4096

/** What an operation is handed; `end` makes it dead. */
export class SqliteTransaction implements Transaction {
  readonly #connection: Connection
  readonly #topics = new Set<string>()
  #wrote = false
  #writtenBytes = 0
  #lastSequence = 0
  #failure: unknown
  #state: 'live' | 'failed' | 'ended' = 'live'

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** Topics that the operation emitted to. */
  get topics(): ReadonlySet<string> {
    return this.#topics
  }

  /** The last event that the operation appended, or 0. */
  get lastSequence(): number {
    return this.#lastSequence
  }

  get wrote(): boolean {
    return this.#wrote
  }

  /** A guess, rather too high, at what the operation will add to the write-ahead log. */
  get writtenBytes(): number {
    return this.#writtenBytes
  }

  async get<Row extends SqlRow>(
    sql: string,
    ...parameters: readonly SqlValue[]
  ): Promise<Row | undefined> {
    return this.#attempt(() => {
      this.#note(sql)
      return this.#connection.get<Row>(sql, parameters)
    })
  }

  async all<Row extends SqlRow>(
    sql: string,
    ...parameters: readonly SqlValue[]
  ): Promise<readonly Row[]> {
    return this.#attempt(() => {
      this.#note(sql)
      return this.#connection.all<Row>(sql, parameters)
    })
  }

  async run(sql: string, ...parameters: readonly SqlValue[]): Promise<number> {
    return this.#attempt(() => {
      const { changeCount } = this.#connection.run(sql, parameters)
      this.#wrote = true
      this.#writtenBytes += pageBytes * (1 + changeCount) + sizeBytes(parameters)
      return changeCount
    })
  }

  async emit(topic: string, subject: string): Promise<void> {
    this.#attempt(() => {
      this.#wrote = true
      this.#writtenBytes += pageBytes
      const { lastRowId } = this.#connection.run(
        'INSERT INTO database_events (topic, subject) VALUES (?, ?)',
        [topic, subject],
      )
      this.#topics.add(topic)
      this.#lastSequence = lastRowId
    })
  }

  /** No call works from here on. Rethrows a failed statement's error that the operation swallowed. */
  end(): void {
    const failed = this.#state === 'failed'
    this.#state = 'ended'
    if (failed) throw this.#failure
  }

  /** As `end`, for an operation that has thrown already. */
  abandon(): void {
    this.#state = 'ended'
  }

  #note(sql: string): void {
    if (this.#connection.onlyReads(sql)) return
    this.#wrote = true
    this.#writtenBytes += pageBytes
  }

  /** After a failed statement the whole transaction has failed, as it has in PostgreSQL. */
  #attempt<Result>(statement: () => Result): Result {
    if (this.#state === 'failed') throw this.#failure
    if (this.#state === 'ended') {
      throw new Error('invariant broken: a transaction is used only until its callback has settled')
    }
    try {
      return statement()
    } catch (error) {
      this.#state = 'failed'
      this.#failure = error
      throw error
    }
  }
}

/** The part of a transaction that a read is handed: without the means to write, also at run time. */
export class ReadOnlyView implements ReadTransaction {
  readonly #transaction: SqliteTransaction

  constructor(transaction: SqliteTransaction) {
    this.#transaction = transaction
  }

  async get<Row extends SqlRow>(
    sql: string,
    ...parameters: readonly SqlValue[]
  ): Promise<Row | undefined> {
    return await this.#transaction.get<Row>(sql, ...parameters)
  }

  async all<Row extends SqlRow>(
    sql: string,
    ...parameters: readonly SqlValue[]
  ): Promise<readonly Row[]> {
    return await this.#transaction.all<Row>(sql, ...parameters)
  }
}

function sizeBytes(parameters: readonly SqlValue[]): number {
  let bytes = 0
  for (const value of parameters) {
    if (typeof value === 'string' || value instanceof Uint8Array) bytes += value.length
  }
  return bytes
}
