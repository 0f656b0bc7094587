import type { SqlRow } from '../database/database.ts'

/** Counts the repos of a copy of the metadata, whose tables are of this release, and all of their commits. */
export function countStore(copy: { all<Row extends SqlRow>(sql: string): readonly Row[] }): {
  readonly repos: number
  readonly commits: number
} {
  // By the index of each repo, which leaves out the rows of repos that are being deleted.
  const [row] = copy.all<{ readonly repos: number; readonly commits: number }>(
    `SELECT COUNT(*) AS repos, COALESCE(SUM((SELECT COUNT(*) FROM commits c
        WHERE c.repo = repos.name AND c.written > repos.made)), 0) AS commits FROM repos`,
  )
  return { repos: row?.repos ?? 0, commits: row?.commits ?? 0 }
}
