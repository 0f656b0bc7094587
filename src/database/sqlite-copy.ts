import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { backup, DatabaseSync } from 'node:sqlite'
import { CancelledError } from '../base/errors.ts'
import type { SqlRow, SqlValue } from './database.ts'
import { Connection } from './sqlite/connection.ts'
import { translateFailure } from './sqlite/failure.ts'
import { storeIdOf, syncFile } from './sqlite/store.ts'

/** So many pages are copied before others get their turn, and it is asked whether to go on. */
const pagesAtOnce = 4096
const cacheBytes = 1024 * 1024

/**
 * Copies the database in the file `path`, which may be in use, to the new file `target`, page by page, as
 * it is at one instant: everything that is committed before the call and nothing that is committed after
 * it has returned. Writes go on meanwhile, and the log grows by them.
 */
export async function copySqlite(path: string, target: string, signal: AbortSignal): Promise<void> {
  await rm(target, { force: true })
  let source: DatabaseSync | undefined
  try {
    source = new DatabaseSync(path, { readOnly: true })
    // One transaction around all of the copy: without it, each write in between would begin it anew.
    source.exec('BEGIN')
    source.prepare('SELECT count(*) FROM sqlite_schema').get()
    await backup(source, target, {
      rate: pagesAtOnce,
      progress: () => throwIfAborted(signal),
    })
    // A small one is copied in one go, and nobody has asked.
    throwIfAborted(signal)
    await syncFile(target)
  } catch (error) {
    await rm(target, { force: true })
    throwIfAborted(signal)
    throw translateFailure(error, path)
  } finally {
    source?.close()
  }
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new CancelledError('the copy was cancelled')
}

/** A version of a layer's tables, and the release that brought it there. */
export interface StoredLayerVersion {
  readonly layer: string
  readonly version: number
  readonly release: string
}

/** A copy that is looked at as it is, whatever release has written it. */
export class SqliteCopy implements Disposable {
  readonly #connection: Connection

  /** @throws {DataLossError} when the file is no database. */
  constructor(path: string) {
    this.#connection = new Connection(path, { cacheBytes, readOnly: true })
  }

  /** Undefined when it says none. */
  get storeId(): string | undefined {
    return storeIdOf(this.#connection)
  }

  get layers(): readonly StoredLayerVersion[] {
    return this.all<StoredLayerVersion & SqlRow>(
      'SELECT layer, version, release FROM database_layers ORDER BY layer',
    )
  }

  all<Row extends SqlRow>(sql: string, ...parameters: readonly SqlValue[]): readonly Row[] {
    return this.#connection.all<Row>(sql, parameters)
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]()
  }
}

/** Changes a copy that nobody uses, in one transaction; durable when it resolves. */
export async function editSqliteCopy(
  path: string,
  edit: (tx: Pick<Connection, 'all' | 'run'>) => void,
): Promise<void> {
  {
    using connection = new Connection(path, { cacheBytes })
    connection.execute('BEGIN IMMEDIATE')
    edit(connection)
    connection.execute('COMMIT')
  }
  await syncFile(path)
}

/** Makes the name of the file `path` survive a loss of power. */
export async function syncDirectory(path: string): Promise<void> {
  await syncFile(dirname(path))
}
