import type { ReadTransaction } from '../../database/database.ts'

const pageRows = 1000

/**
 * Keys of rows, the latest written first, in pages. Call in one transaction.
 *
 * `sql` selects `key` and `written`, and ends with a WHERE clause to which more can be added; no two
 * of its rows were written at the same time.
 */
export async function* latestWritten(
  tx: ReadTransaction,
  sql: string,
  given: readonly string[],
  countMax: number = Number.MAX_SAFE_INTEGER,
): AsyncGenerator<readonly string[]> {
  let before = Number.MAX_SAFE_INTEGER
  for (let left = countMax; left > 0;) {
    const rows = await tx.all<{ readonly key: string; readonly written: number }>(
      `${sql} AND written < ? ORDER BY written DESC LIMIT ?`,
      ...given,
      before,
      Math.min(pageRows, left),
    )
    if (rows.length > 0) yield rows.map(({ key }) => key)
    if (rows.length < pageRows) return
    before = rows.at(-1)?.written ?? 0
    left -= rows.length
  }
}
