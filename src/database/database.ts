/** The door to the metadata: rows that change atomically. Implemented by SQLite, later PostgreSQL. */

import { FailedPreconditionError } from '../base/errors.ts'

export type SqlValue = null | number | string | Uint8Array
export type SqlRow = Readonly<Record<string, SqlValue>>

/** Reads of one consistent snapshot. Dead once its callback has settled: a late call throws. */
export interface ReadTransaction {
  /** The first row, or undefined. Placeholders are `?`; integers come back as numbers. */
  get<Row extends SqlRow>(sql: string, ...parameters: readonly SqlValue[]): Promise<Row | undefined>
  /** All rows: the query bounds their count. */
  all<Row extends SqlRow>(sql: string, ...parameters: readonly SqlValue[]): Promise<readonly Row[]>
}

/** Reads and writes that happen all or not at all. */
export interface Transaction extends ReadTransaction {
  /** Runs a statement; returns the number of rows that it changed. */
  run(sql: string, ...parameters: readonly SqlValue[]): Promise<number>
  /** Appends to the event log, in this transaction. Watchers of `topic` see it after the commit. */
  emit(topic: string, subject: string): Promise<void>
}

/**
 * The log no longer holds every event after the position, or never held it: read the state anew and
 * watch from now.
 */
export class WatchExpiredError extends FailedPreconditionError {
  override readonly name = 'WatchExpiredError'
  readonly position: number

  constructor(position: number, log: { readonly first: number; readonly last: number }) {
    super(
      `the event log holds ${log.first} to ${log.last}, so it cannot be followed from ${position}; read the state anew and watch from now`,
    )
    this.position = position
  }
}

/** One line of the event log; `sequence` grows with every event of every topic. */
export interface DatabaseEvent {
  readonly sequence: number
  readonly topic: string
  readonly subject: string
}

export interface TransactOptions {
  /**
   * For what deletes or stops, and so is a way out when the disk is full: then it may use the room that is
   * kept in reserve for that, and until there is room again nothing else is written.
   */
  readonly usesReserve?: boolean
}

export interface Database extends AsyncDisposable {
  /**
   * Runs `operation` alone and atomically; resolves when it is durable. It may run again after a
   * conflict, so it awaits nothing but `tx` and changes nothing outside it. When it throws, nothing
   * of it stays. A statement that fails, caught or not, fails the whole operation.
   *
   * @throws {DiskFullError} when the disk has no room left for it, or only what is in reserve.
   */
  transact<Result>(
    operation: (tx: Transaction) => Promise<Result>,
    options?: TransactOptions,
  ): Promise<Result>

  /**
   * Runs `operation`, which awaits nothing but `tx`, on a snapshot of what has been committed.
   * Resolves when what it saw is durable.
   */
  read<Result>(operation: (tx: ReadTransaction) => Promise<Result>): Promise<Result>

  /**
   * Events of `topics` after `after` (default: after now), in order, then new ones as they are
   * durable, until `signal` aborts (the iterator then ends). The position is taken when the call
   * is made, not at the first pull: whatever a later read does not show yet will be delivered.
   *
   * The log keeps the last 100,000 events or more. A watcher that falls further behind gets a
   * `WatchExpiredError`.
   */
  watch(
    topics: readonly string[],
    options: { readonly after?: number; readonly signal: AbortSignal },
  ): AsyncIterable<DatabaseEvent>
}

/**
 * A layer's tables through time. Step N brings the layer from version N-1 to N; a released step
 * never changes. Statements are written in the common dialect: types INTEGER (64 bits), TEXT
 * (compared by bytes), BYTES; the door translates.
 */
export interface Migrations {
  readonly layer: string
  readonly steps: readonly (readonly string[])[]
  /**
   * Tables of what is known of places outside of the store: those go on as they are when its metadata become
   * what they were once, so that the tables are emptied then.
   */
  readonly outsideTables?: readonly string[]
}

/** A layer whose tables are to be brought from one version to another. */
export interface LayerUpgrade {
  readonly layer: string
  readonly from: number
  readonly to: number
}

/** What was done to a store that an older release has written. */
export interface StoreUpgrade {
  /** The file with all that there was before. */
  readonly copy: string
  readonly layers: readonly LayerUpgrade[]
}
