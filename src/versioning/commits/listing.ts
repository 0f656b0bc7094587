import { DataLossError } from '../../base/errors.ts'
import type { CommitId, RepoName } from '../../base/names.ts'
import type { Database, ReadTransaction } from '../../database/database.ts'
import { snapshotKeys } from '../../storage/snapshot-keys.ts'
import type { VersioningPorts } from '../ports.ts'
import { latestWritten } from '../records/latest-written.ts'
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

/**
 * The commits that a repo has when it begins, latest written first, at most `countMax`. One that is
 * deleted meanwhile may be left out.
 */
export async function* listAllCommits(
  ports: Pick<VersioningPorts, 'database' | 'spools'>,
  repo: RepoName,
  countMax: number,
): AsyncGenerator<CommitInfo> {
  const sql = `SELECT id AS key, written FROM commits
    WHERE repo = ? AND written > (SELECT made FROM repos WHERE name = ?)`
  const inOrder = (tx: ReadTransaction): AsyncIterable<readonly string[]> =>
    latestWritten(tx, sql, [repo, repo], countMax)
  for await (const ids of snapshotKeys(ports, inOrder)) {
    for (let from = 0; from < ids.length; from += pageMax) {
      yield* await ports.database.read((tx) => infosAt(tx, ids.slice(from, from + pageMax)))
    }
  }
}

async function infosAt(
  tx: ReadTransaction,
  ids: readonly string[],
): Promise<readonly CommitInfo[]> {
  const rows: CommitRow[] = []
  for (const id of ids) {
    const row = await tx.get<CommitRow>(`SELECT ${commitColumns} FROM commits WHERE id = ?`, id)
    if (row !== undefined) rows.push(row)
  }
  return await infosOf(tx, rows)
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
