import type { Migrations } from '../database.ts'
import { Connection } from './connection.ts'
import { migrate } from './store.ts'

/** A table or an index, as far as two stores can be compared by it. */
export interface SchemaPart {
  readonly type: 'table' | 'index'
  readonly name: string
  /** Of an index, where it belongs. */
  readonly table: string
  /** The columns, in words: what differs from this is another table or index. */
  readonly columns: string
  /** The statement that makes it. */
  readonly sql: string
}

type PartRow = {
  readonly type: 'table' | 'index'
  readonly name: string
  readonly tbl_name: string
  readonly sql: string
}

const cacheBytes = 1024 * 1024

/** What a store of this release has. */
export async function expectedSchema(
  migrations: readonly Migrations[],
): Promise<readonly SchemaPart[]> {
  using connection = new Connection(':memory:', { cacheBytes })
  await migrate(connection, migrations, 'unknown')
  return partsOf(connection)
}

/** What the store in the file `path` has. @throws {DataLossError} when that cannot be read. */
export function storedSchema(path: string): readonly SchemaPart[] {
  using connection = new Connection(path, { cacheBytes, readOnly: true })
  return partsOf(connection)
}

function partsOf(connection: Connection): readonly SchemaPart[] {
  // What SQLite makes by itself for a table has no statement.
  const rows = connection.all<PartRow>(
    `SELECT type, name, tbl_name, sql FROM sqlite_schema
      WHERE type IN ('table', 'index') AND sql IS NOT NULL ORDER BY type, name`,
  )
  return rows.map(({ type, name, tbl_name: table, sql }) => ({
    type,
    name,
    table,
    columns: type === 'table' ? columnsOf(connection, name) : indexOf(connection, name),
    sql,
  }))
}

function columnsOf(connection: Connection, table: string): string {
  const columns = connection.all<{
    readonly name: string
    readonly type: string
    readonly notnull: number
    readonly pk: number
  }>('SELECT name, type, "notnull", pk FROM pragma_table_info(?) ORDER BY cid', [table])
  return columns.map(({ name, type, notnull, pk }) => `${name} ${type} ${notnull} ${pk}`).join(', ')
}

function indexOf(connection: Connection, index: string): string {
  const columns = connection.all<{ readonly name: string | null; readonly descending: number }>(
    `SELECT name, "desc" AS descending FROM pragma_index_xinfo(?) WHERE "key" = 1 ORDER BY seqno`,
    [index],
  )
  return columns.map(({ name, descending }) => `${name ?? ''} ${descending}`).join(', ')
}
