import { boundBytes, bytesSumMax } from '../../base/byte-sums.ts'
import type { CheckRun } from '../../base/check-run.ts'
import type { RepoName } from '../../base/names.ts'
import type { Database, Transaction } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'
import { isInRepo } from '../records/deleted-repos.ts'
import { repoSizeColumn, repoSumColumns } from '../records/repo-sizes.ts'
import { versioningFinding } from '../versioning-findings.ts'

interface Ports {
  readonly database: Database
  readonly run: CheckRun
}

interface RepoRow {
  readonly [column: string]: string | number
  readonly name: RepoName
  readonly size_bytes: number
  readonly created_at: number
  /** Whether what is stored is more than `size_bytes`, which ends at `bytesSumMax`. */
  readonly is_beyond: number
  /** What its finished commits say that they added, also beyond `bytesSumMax`. */
  readonly added: number
  /** Commits of earlier releases, which do not say what they added. */
  readonly untold: number
}

const columns = `name, created_at, ${repoSizeColumn}, ${repoSumColumns},
    CASE WHEN size_bytes > ${bytesSumMax} THEN 1 ELSE 0 END AS is_beyond`

/** A repo with commits that do not say what they added is passed over: nobody can tell afterwards. */
export async function checkRepoSizes({ database, run }: Ports): Promise<void> {
  run.stage = 'repo sizes'
  const query = {
    sql: `SELECT ${columns} FROM repos WHERE name > ? ORDER BY name`,
    first: [''],
    keyOf: ({ name }: RepoRow) => [name],
    pageRows: 20,
  }
  for await (const page of pagesOf<RepoRow>(database, query)) {
    run.throwIfCancelled()
    for (const row of page) {
      const { name } = row
      if (row.untold > 0) await checkGrowth({ database, run }, name)
      if (isSound(row)) continue
      await run.report({
        kind: versioningFinding('repo-size-wrong'),
        subject: { repo: name },
        what: `repo ${name} ${problemOf(row)}`,
        repair: () => database.transact((tx) => repairSize(tx, row)),
      })
    }
  }
}

/** Told one by one for a repo. */
const silentMax = 100

/** Finished commits that do not say what they added, though one that was finished before says it. */
const silent = `SELECT id FROM commits WHERE repo = ? AND ${isInRepo} AND finished_at IS NOT NULL
  AND root IS NOT NULL AND added_bytes IS NULL AND written > (SELECT MIN(t.written) FROM commits t JOIN repos r ON r.name = t.repo
    WHERE t.repo = ? AND t.written > r.made AND t.added_bytes IS NOT NULL)
  ORDER BY written LIMIT ${silentMax}`

/** Commits of earlier releases do not say what they added; those that came after one that does, do. */
async function checkGrowth({ database, run }: Ports, repo: RepoName): Promise<void> {
  const commits = await database.read((tx) => tx.all<{ readonly id: string }>(silent, repo, repo))
  for (const { id } of commits) {
    await run.report({
      kind: versioningFinding('commit-growth-missing'),
      subject: { repo, commit: id },
      what: `commit ${repo}/${id} does not say what it added, and commits before it do`,
    })
  }
}

function isSound(row: RepoRow): boolean {
  return row.is_beyond === 0 && row.size_bytes === rightSize(row)
}

/** What cannot be told is left. */
function rightSize({ size_bytes: sizeBytes, added, untold }: RepoRow): number {
  return untold > 0 ? sizeBytes : boundBytes(added)
}

function problemOf(row: RepoRow): string {
  if (row.is_beyond === 1) {
    return `is said to have more than ${bytesSumMax} bytes, where sizes end: its size is ${rightSize(row)}`
  }
  return `is said to have ${row.size_bytes} bytes, and its commits add up to ${rightSize(row)}`
}

/** Adds up again, if it is still the same repo and still wrong. */
async function repairSize(tx: Transaction, { name, created_at: since }: RepoRow): Promise<boolean> {
  const now = await tx.get<RepoRow>(
    `SELECT ${columns} FROM repos WHERE name = ? AND created_at = ?`,
    name,
    since,
  )
  if (now === undefined || isSound(now)) return false
  await tx.run('UPDATE repos SET size_bytes = ? WHERE name = ?', rightSize(now), name)
  return true
}
