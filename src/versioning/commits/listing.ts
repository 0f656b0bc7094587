import { DataLossError } from '../../base/errors.ts'
import type { CommitId, RepoName } from '../../base/names.ts'
import type { Database, ReadTransaction } from '../../database/database.ts'
import {
  type CommitInfo,
  type CommitRow,
  commitColumns,
  commitColumnsOf,
  commitInfo,
  commitSummary,
  type CommitSummary,
} from '../commit-records.ts'

const pageMax = 100

/** Every commit of the repo, latest written first, page by page. */
export async function* listAllCommits(
  database: Database,
  repo: RepoName,
): AsyncGenerator<CommitInfo> {
  let before = Number.MAX_SAFE_INTEGER
  for (;;) {
    const upTo = before
    const { page, last } = await database.read(async (tx) => {
      const rows = await tx.all<CommitRow>(
        `SELECT ${commitColumns} FROM commits WHERE repo = ? AND written < ?
          ORDER BY written DESC LIMIT ?`,
        repo,
        upTo,
        pageMax,
      )
      return { page: await infosOf(tx, rows), last: rows.at(-1)?.written }
    })
    yield* page
    if (last === undefined || page.length < pageMax) return
    before = last
  }
}

/** `from` and its line of parents, newest first, up to but without `end`, page by page. */
export async function* listLine(
  database: Database,
  from: CommitId,
  end: CommitId | undefined,
): AsyncGenerator<CommitInfo> {
  const order = new LineOrder()
  let next: CommitId | undefined = from
  while (next !== undefined && next !== end) {
    const start: CommitId = next
    const page = await database.read(async (tx) => {
      const rows = await linePage(tx, start)
      return { rows, infos: await infosOf(tx, rows) }
    })
    for (const [index, commit] of page.infos.entries()) {
      if (commit.id === end) return
      order.require(page.rows[index])
      yield commit
    }
    next = page.infos.at(-1)?.parent
  }
}

/** `from` and its line of parents, newest first, at most 100 at a time; nothing for no commit. */
export async function* linePages(
  database: Database,
  from: CommitId | undefined,
): AsyncGenerator<readonly CommitSummary[]> {
  const order = new LineOrder()
  let next = from
  while (next !== undefined) {
    const start: CommitId = next
    const rows = await database.read((tx) => linePage(tx, start))
    for (const row of rows) order.require(row)
    yield rows.map(commitSummary)
    next = rows.at(-1)?.parent ?? undefined
  }
}

/** A commit is written after its parent: a line that does not go back in time may have no end. */
class LineOrder {
  #last = Number.MAX_SAFE_INTEGER

  /** @throws {DataLossError} for a row that is not older than the one before. */
  require(row: CommitRow | undefined): void {
    if (row === undefined) return
    if (row.written >= this.#last) {
      throw new DataLossError(
        `the history of repo ${row.repo} is damaged: it comes to commit ${row.id} again, or in the wrong order; fsck tells more`,
      )
    }
    this.#last = row.written
  }
}

async function linePage(tx: ReadTransaction, from: CommitId): Promise<readonly CommitRow[]> {
  return tx.all<CommitRow>(
    `WITH RECURSIVE line (id, depth) AS (
        SELECT id, 1 FROM commits WHERE id = ?
        UNION ALL
        SELECT commits.parent, line.depth + 1 FROM commits JOIN line ON commits.id = line.id
          WHERE commits.parent IS NOT NULL AND line.depth < ?
      )
      SELECT ${commitColumnsOf('commits')} FROM line JOIN commits ON commits.id = line.id ORDER BY line.depth`,
    from,
    pageMax,
  )
}

async function infosOf(
  tx: ReadTransaction,
  rows: readonly CommitRow[],
): Promise<readonly CommitInfo[]> {
  const infos: CommitInfo[] = []
  for (const row of rows) infos.push(await commitInfo(tx, row))
  return infos
}
