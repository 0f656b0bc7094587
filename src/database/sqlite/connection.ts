import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { InvalidArgumentError } from '../../base/errors.ts'
import type { SqlRow, SqlValue } from '../database.ts'
import { translateFailure } from './failure.ts'

/** Prepared statements that one connection keeps, the least recently used one dropped first. */
const statementCountMax = 256
/** How long a statement waits, blocking, for a lock that another program holds. */
const lockWaitMs = 1000

interface Prepared {
  readonly statement: StatementSync
  readonly reads: boolean
}

/**
 * One connection to one database file: prepared statements by their text, values checked on the way
 * in, failures translated. Every call is synchronous.
 */
export class Connection implements Disposable {
  readonly path: string
  readonly #database: DatabaseSync
  readonly #prepared = new Map<string, Prepared>()

  /** @throws {UnavailableError | DataLossError} when the file cannot be opened. */
  constructor(path: string, options: { readonly cacheBytes: number; readonly readOnly?: boolean }) {
    this.path = path
    const { readOnly = false } = options
    try {
      this.#database = new DatabaseSync(path, { timeout: lockWaitMs, readOnly })
    } catch (error) {
      throw translateFailure(error, path)
    }
    this.execute(`PRAGMA cache_size = -${Math.ceil(options.cacheBytes / 1024)}`)
  }

  /** Whether a transaction is open; SQLite ends one by itself after some failures. */
  get inTransaction(): boolean {
    return this.#database.isTransaction
  }

  /** Runs statements that take no parameters and give no rows, without keeping them prepared. */
  execute(sql: string): void {
    try {
      this.#database.exec(sql)
    } catch (error) {
      throw translateFailure(error, this.path, sql)
    }
  }

  /** Whether `sql` is certain to write nothing. */
  onlyReads(sql: string): boolean {
    return this.#prepare(sql).reads
  }

  get<Row extends SqlRow>(sql: string, parameters: readonly SqlValue[] = []): Row | undefined {
    const { statement } = this.#prepare(sql)
    try {
      // The cast: the caller names the columns of its own statement.
      return statement.get(...parameters.map(bound)) as Row | undefined
    } catch (error) {
      throw translateFailure(error, this.path, sql)
    }
  }

  all<Row extends SqlRow>(sql: string, parameters: readonly SqlValue[] = []): readonly Row[] {
    const { statement } = this.#prepare(sql)
    try {
      return statement.all(...parameters.map(bound)) as unknown as readonly Row[]
    } catch (error) {
      throw translateFailure(error, this.path, sql)
    }
  }

  run(
    sql: string,
    parameters: readonly SqlValue[] = [],
  ): { readonly changeCount: number; readonly lastRowId: number } {
    const { statement } = this.#prepare(sql)
    try {
      const { changes, lastInsertRowid } = statement.run(...parameters.map(bound))
      return { changeCount: Number(changes), lastRowId: Number(lastInsertRowid) }
    } catch (error) {
      throw translateFailure(error, this.path, sql)
    }
  }

  #prepare(sql: string): Prepared {
    const known = this.#prepared.get(sql)
    if (known !== undefined) {
      this.#prepared.delete(sql)
      this.#prepared.set(sql, known)
      return known
    }
    let statement: StatementSync
    try {
      statement = this.#database.prepare(sql)
    } catch (error) {
      throw translateFailure(error, this.path, sql)
    }
    const prepared = { statement, reads: /^\s*(SELECT|VALUES)\b/i.test(sql) }
    this.#prepared.set(sql, prepared)
    if (this.#prepared.size > statementCountMax) {
      for (const oldest of this.#prepared.keys()) {
        this.#prepared.delete(oldest)
        break
      }
    }
    return prepared
  }

  [Symbol.dispose](): void {
    this.#prepared.clear()
    this.#database.close()
  }
}

/** Of a text that is refused, the beginning is told. */
const shownLengthMax = 200

/** The value as SQLite stores it. Refuses what the other database could not store or would change. */
function bound(value: SqlValue): null | bigint | string | Uint8Array {
  if (typeof value === 'number') {
    // A plain number would be bound as a real, and `? / 2` would not be an integer.
    if (Number.isSafeInteger(value)) return BigInt(value)
    throw new InvalidArgumentError(`not an integer that a column holds exactly: ${value}`)
  }
  if (typeof value === 'string' && (value.includes('\0') || !value.isWellFormed())) {
    throw new InvalidArgumentError(
      `the text ${JSON.stringify(value.slice(0, shownLengthMax))} has a null character or half a surrogate pair in it, which no name or text can have: leave it out`,
    )
  }
  return value
}
