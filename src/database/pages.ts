import { isDeepStrictEqual } from 'node:util'
import { DataLossError } from '../base/errors.ts'
import type { Database, SqlRow, SqlValue } from './database.ts'

/**
 * The rows of a query in pages, each read from a snapshot of its own, so that nobody waits long.
 *
 * `sql` ends before its LIMIT, sorts by the columns of `keyOf`, and has a placeholder for each of
 * them: rows behind that key come. `first` is a key before all.
 */
export async function* pagesOf<Row extends SqlRow>(
  database: Database,
  query: {
    readonly sql: string
    readonly first: readonly SqlValue[]
    /** Values of placeholders that come before those of the key. */
    readonly given?: readonly SqlValue[]
    readonly keyOf: (row: Row) => readonly SqlValue[]
    /** 500. */
    readonly pageRows?: number
  },
): AsyncGenerator<readonly Row[]> {
  const pageRows = query.pageRows ?? 500
  let after = query.first
  for (;;) {
    const key = after
    const rows = await database.read((tx) =>
      tx.all<Row>(`${query.sql} LIMIT ${pageRows}`, ...(query.given ?? []), ...key),
    )
    if (rows.length > 0) yield rows
    const last = rows.at(-1)
    if (last === undefined || rows.length < pageRows) return
    after = query.keyOf(last)
    if (isDeepStrictEqual(after, key)) {
      throw new DataLossError(
        `the rows behind ${JSON.stringify(key)} cannot be read: a key is stored that is no text`,
      )
    }
  }
}
