import type { CheckRun } from '../../base/check-run.ts'
import { type CommitId, type CommitTag, parseCommitTag, type RepoName } from '../../base/names.ts'
import type { Database } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'
import { versioningFinding } from '../versioning-findings.ts'
import { textProblem } from './text-problem.ts'

interface Ports {
  readonly database: Database
  readonly run: CheckRun
}

interface MergeRow {
  readonly [column: string]: string | number | null
  readonly written: number | null
  readonly parent_written: number | null
  readonly id: CommitId
  readonly parent: CommitId
  readonly repo: RepoName | null
  readonly parent_repo: RepoName | null
}

const merges = `SELECT m.id, m.parent, c.repo, p.repo AS parent_repo, c.written,
    p.written AS parent_written FROM merge_parents m
  LEFT JOIN commits c ON c.id = m.id LEFT JOIN commits p ON p.id = m.parent
  WHERE (m.id, m.parent) > (?, ?) ORDER BY m.id, m.parent`

const leftOver = `FROM merge_parents
  WHERE NOT EXISTS (SELECT 1 FROM commits WHERE commits.id = merge_parents.id)`

/** What merges brought in: commits of the same repo. Each page is one snapshot. */
export async function checkMergeParents({ database, run }: Ports): Promise<void> {
  run.stage = 'merges'
  const query = {
    sql: merges,
    first: ['', ''],
    keyOf: ({ id, parent }: MergeRow) => [id, parent],
  }
  let leftCount = 0
  for await (const page of pagesOf<MergeRow>(database, query)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const row of page) {
      const { id, parent, repo, parent_repo: parentRepo } = row
      if (repo === null) leftCount += 1
      if (repo === null) continue
      if (parentRepo === repo) {
        if ((row.parent_written ?? 0) < (row.written ?? 0)) continue
        await run.report({
          kind: versioningFinding('commit-order-wrong'),
          subject: { repo, commit: id },
          what: `commit ${repo}/${id} merged ${parent === id ? 'itself' : `${parent}, which was written after it`}`,
        })
        continue
      }
      const problem = parentRepo === null ? 'does not exist' : `is in the repo ${parentRepo}`
      await run.report({
        kind: versioningFinding('merge-parent-missing'),
        subject: { repo, commit: id },
        what: `commit ${repo}/${id} merged ${parent}, which ${problem}`,
      })
    }
  }
  if (leftCount === 0) return
  await run.report({
    kind: versioningFinding('merge-parents-left-over'),
    subject: {},
    what: `${leftCount} rows say what commits that do not exist merged`,
    repair: async () => (await database.transact((tx) => tx.run(`DELETE ${leftOver}`))) > 0,
  })
}

interface TagRow {
  readonly [column: string]: string | null
  readonly repo: RepoName
  readonly name: CommitTag
  readonly id: CommitId
  readonly found_repo: RepoName | null
}

const tags = `SELECT t.repo, t.name, t.id, c.repo AS found_repo FROM commit_tags t
  LEFT JOIN commits c ON c.id = t.id WHERE (t.repo, t.name) > (?, ?) ORDER BY t.repo, t.name`

/** Each tag of a commit names one that is in its repo. */
export async function checkCommitTags({ database, run }: Ports): Promise<void> {
  run.stage = 'commit tags'
  const query = { sql: tags, first: ['', ''], keyOf: ({ repo, name }: TagRow) => [repo, name] }
  for await (const page of pagesOf<TagRow>(database, query)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const { repo, name, id, found_repo: found } of page) {
      const invalid = textProblem(parseCommitTag, name)
      if (invalid !== undefined) {
        const kind = versioningFinding('name-invalid')
        const what = `a commit tag of repo ${repo}: ${invalid}`
        await run.report({ kind, subject: { repo, tag: name }, what })
      }
      if (found === repo) continue
      const problem = found === null ? 'does not exist' : `is in the repo ${found}`
      await run.report({
        kind: versioningFinding('commit-tag-wrong'),
        subject: { repo, tag: name },
        what: `tag ${name} of repo ${repo} names the commit ${id}, which ${problem}`,
      })
    }
  }
}
