import type { CheckRun } from '../../base/check-run.ts'
import type { Clock } from '../../base/clock.ts'
import { DataLossError } from '../../base/errors.ts'
import type { CommitId, RepoName } from '../../base/names.ts'
import type { Database } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'
import { decodeStaged, type StagedColumns } from '../staging/staged-rows.ts'
import { sweepCommit } from '../staging/sweep.ts'
import { versioningFinding } from '../versioning-findings.ts'

interface Ports {
  readonly database: Database
  readonly clock: Clock
  readonly run: CheckRun
}

interface OpenRow {
  readonly [column: string]: string | number | null
  readonly id: CommitId
  readonly repo: RepoName
  readonly staged_last: number
  readonly count: number
  readonly last: number | null
}

/** A number that is missing shows in the count, one too many in the last. */
const openCommit = `SELECT c.id, c.repo, c.staged_last,
    (SELECT COUNT(*) FROM staged_writes s WHERE s.id = c.id) AS count,
    (SELECT MAX(sequence) FROM staged_writes s WHERE s.id = c.id) AS last
  FROM commits c WHERE c.id = ? AND c.finished_at IS NULL`

/** Writes that wait: each makes sense, and none waits for a commit that is not open. */
export async function checkStagedWrites(ports: Ports): Promise<void> {
  ports.run.stage = 'staged writes'
  await checkPayloads(ports)
  await checkLeftOver(ports)
}

/** Whether the writes to an open commit that were acknowledged are there. */
export async function checkStagedCount(
  { database, run }: Pick<Ports, 'database' | 'run'>,
  commit: CommitId,
): Promise<void> {
  const row = await database.read((tx) => tx.get<OpenRow>(openCommit, commit))
  if (row === undefined) return // finished meanwhile
  const { id, repo, staged_last: acknowledged, count, last } = row
  if (count === acknowledged && (last ?? 0) === acknowledged) return
  await run.report({
    kind: versioningFinding('staged-write-lost'),
    subject: { repo, commit: id },
    what: `open commit ${repo}/${id} has ${count} writes, the last number ${last ?? 0}, and ${acknowledged} were acknowledged`,
  })
}

export type StagedRow = StagedColumns & {
  readonly id: CommitId
  readonly repo: RepoName
  readonly sequence: number
}

/** The writes of open commits in their order. Some 4 MiB at a time. */
export function stagedPages(database: Database): AsyncGenerator<readonly StagedRow[]> {
  return pagesOf<StagedRow>(database, {
    sql: `SELECT s.id, c.repo, s.sequence, s.kind, s.path_key, s.payload FROM staged_writes s
      JOIN commits c ON c.id = s.id AND c.finished_at IS NULL
      WHERE (s.id, s.sequence) > (?, ?) ORDER BY s.id, s.sequence`,
    first: ['', 0],
    keyOf: ({ id, sequence }: StagedRow) => [id, sequence],
    pageRows: 64,
  })
}

async function checkPayloads({ database, run }: Ports): Promise<void> {
  for await (const page of stagedPages(database)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const row of page) {
      const problem = decodingProblem(row)
      if (problem === undefined) continue
      await run.report({
        kind: versioningFinding('staged-write-damaged'),
        subject: { repo: row.repo, commit: row.id },
        what: `write ${row.sequence} to open commit ${row.repo}/${row.id}: ${problem}`,
      })
    }
  }
}

function decodingProblem(row: StagedRow): string | undefined {
  try {
    decodeStaged(row)
    return undefined
  } catch (error) {
    if (error instanceof DataLossError) return error.message
    // What is no UTF-8 is damage, too.
    if (error instanceof TypeError) return 'its path is not UTF-8'
    throw error
  }
}

type LeftRow = { readonly id: CommitId; readonly count: number }

/** A sweep that is under way goes on within so long. */
const sweepPauseMs = 200

/** Commits by turns, so that one with many rows costs a search and no more. */
const nextLeft = `SELECT id FROM staged_writes WHERE id > ? ORDER BY id LIMIT 1`
const countLeft = `SELECT COUNT(*) AS count FROM staged_writes WHERE id = ?
  AND NOT EXISTS (SELECT 1 FROM commits WHERE commits.id = staged_writes.id AND finished_at IS NULL)`

async function checkLeftOver({ database, clock, run }: Ports): Promise<void> {
  for (let after = ''; ;) {
    run.throwIfCancelled()
    const last = after
    const next = await database.read((tx) => tx.get<{ readonly id: CommitId }>(nextLeft, last))
    if (next === undefined) return
    if (next.id === last) {
      // It is read as another text than it is stored as, and so would come for ever.
      await run.report({
        kind: versioningFinding('staged-write-damaged'),
        subject: {},
        what: `writes wait for a commit whose id is no text: ${JSON.stringify(next.id)}`,
      })
      return
    }
    after = next.id
    const count = async (): Promise<number> =>
      (await database.read((tx) => tx.get<Pick<LeftRow, 'count'>>(countLeft, next.id)))?.count ?? 0
    const before = await count()
    if (before === 0) continue
    await clock.sleep(sweepPauseMs, run.signal)
    if ((await count()) !== before) continue // it is being swept
    await run.report({
      kind: versioningFinding('staged-writes-left-over'),
      subject: { commit: next.id },
      what: `${before} writes wait for commit ${next.id}, which is not open`,
      repair: async () => {
        await sweepCommit(database, next.id, run.signal)
        return true
      },
    })
  }
}
