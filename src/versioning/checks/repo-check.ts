import type { CheckRun } from '../../base/check-run.ts'
import { parseRepoName, type RepoName } from '../../base/names.ts'
import { databaseFinding } from '../../database/database-findings.ts'
import type { Database, ReadTransaction, Transaction } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'
import { repoTopic } from '../ports.ts'
import { versioningFinding } from '../versioning-findings.ts'
import { textProblem } from './text-problem.ts'

interface Ports {
  readonly database: Database
  readonly run: CheckRun
}

type NameRow = { readonly name: RepoName }

/** Repos: what they are made from, and the counter that orders them. */
export async function checkRepos({ database, run }: Ports): Promise<void> {
  run.stage = 'repos'
  const query = {
    sql: 'SELECT name FROM repos WHERE name > ? ORDER BY name',
    first: [''],
    keyOf: ({ name }: NameRow) => [name],
    pageRows: 50,
  }
  for await (const page of pagesOf<NameRow>(database, query)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const { name } of page) {
      const problem = textProblem(parseRepoName, name)
      if (problem !== undefined) {
        const kind = versioningFinding('name-invalid')
        await run.report({ kind, subject: { repo: name }, what: problem })
      }
      await checkClosure({ database, run }, name)
    }
  }
  await checkLeftOver({ database, run })
  await checkSequence({ database, run })
  await checkNewestEvent({ database, run })
}

async function checkClosure({ database, run }: Ports, repo: RepoName): Promise<void> {
  const closure = await database.read((tx) => closureOf(tx, repo))
  const subject = { repo }
  const missing = lacking(closure)
  if (missing !== undefined) {
    await run.report({
      kind: versioningFinding('repo-provenance-wrong'),
      subject,
      what: `repo ${repo} is not said to be made from ${missing}, and is`,
      repair: () => database.transact((tx) => repairClosure(tx, repo)),
    })
  }
  const extra = unexplained(repo, closure)
  if (extra === undefined) return
  const kind = versioningFinding('provenance-unexplained')
  await run.report({ kind, subject, what: `repo ${repo} ${extra}` })
}

interface EdgeRow {
  readonly [column: string]: string | number | null
  readonly ancestor: RepoName
  readonly direct: number
  readonly found: RepoName | null
}

async function edgesOf(tx: ReadTransaction, repo: string): Promise<readonly EdgeRow[]> {
  return await tx.all<EdgeRow>(
    `SELECT p.ancestor, p.direct, r.name AS found FROM repo_provenance p
      LEFT JOIN repos r ON r.name = p.ancestor WHERE p.repo = ? ORDER BY p.ancestor`,
    repo,
  )
}

interface Closure {
  readonly stored: readonly EdgeRow[]
  /** Every repo that is reached by direct edges alone. */
  readonly expected: ReadonlySet<RepoName>
}

async function closureOf(tx: ReadTransaction, repo: RepoName): Promise<Closure> {
  const stored = await edgesOf(tx, repo)
  const expected = new Set<RepoName>()
  const ahead = [...stored]
  for (let edge = ahead.pop(); edge !== undefined; edge = ahead.pop()) {
    if (edge.direct !== 1 || expected.has(edge.ancestor)) continue
    expected.add(edge.ancestor)
    ahead.push(...(await edgesOf(tx, edge.ancestor)))
  }
  return { stored, expected }
}

/** The first repo that follows from direct edges and is not said. */
function lacking({ stored, expected }: Closure): RepoName | undefined {
  const said = new Set(stored.map(({ ancestor }) => ancestor))
  for (const ancestor of expected) if (!said.has(ancestor)) return ancestor
  return undefined
}

/** What is said and does not follow: a row too many, or from an edge that is lost. */
function unexplained(repo: RepoName, { stored, expected }: Closure): string | undefined {
  if (expected.has(repo)) return 'is made from itself, by way of others'
  // A repo that was deleted by force stays in the provenance of others, with what it was made from.
  if (stored.some(({ found }) => found === null)) return undefined
  const extra = stored.find(({ ancestor }) => !expected.has(ancestor))
  if (extra === undefined) return undefined
  return `is said to be made from ${extra.ancestor}, by way of nothing`
}

async function repairClosure(tx: Transaction, repo: RepoName): Promise<boolean> {
  const closure = await closureOf(tx, repo)
  if (lacking(closure) === undefined || closure.expected.has(repo)) return false
  for (const ancestor of closure.expected) {
    await tx.run(
      `INSERT INTO repo_provenance (repo, ancestor, direct) VALUES (?, ?, 0)
        ON CONFLICT (repo, ancestor) DO NOTHING`,
      repo,
      ancestor,
    )
  }
  return true
}

const orphanRepos = `SELECT COUNT(*) AS count FROM repo_provenance
  WHERE NOT EXISTS (SELECT 1 FROM repos WHERE repos.name = repo_provenance.repo)`

async function checkLeftOver({ database, run }: Ports): Promise<void> {
  const row = await database.read((tx) => tx.get<{ readonly count: number }>(orphanRepos))
  if (row === undefined || row.count === 0) return
  await run.report({
    kind: versioningFinding('provenance-left-over'),
    subject: {},
    what: `${row.count} rows say what repos that do not exist are made from`,
    repair: async () => {
      const changed = await database.transact((tx) =>
        tx.run(
          `DELETE FROM repo_provenance
            WHERE NOT EXISTS (SELECT 1 FROM repos WHERE repos.name = repo_provenance.repo)`,
        ),
      )
      return changed > 0
    },
  })
}

/** Of a log that still has its first event, so that none was deleted for its age. */
const newestEvent = `SELECT r.name,
    (SELECT 1 FROM database_events WHERE topic = '${repoTopic}' AND subject = r.name LIMIT 1) AS told
  FROM repos r WHERE r.written = (SELECT MAX(written) FROM repos)
    AND COALESCE((SELECT MIN(sequence) FROM database_events), 1) = 1`

type NewestRow = { readonly name: RepoName; readonly told: number | null }

/** What was written last is in the log that those who watch follow. */
async function checkNewestEvent({ database, run }: Ports): Promise<void> {
  const row = await database.read((tx) => tx.get<NewestRow>(newestEvent))
  if (row === undefined || row.told !== null) return
  await run.report({
    kind: databaseFinding('event-log-gap'),
    subject: { repo: row.name },
    what: `the event log does not say that repo ${row.name} was written, which was the last: its newest events are lost`,
  })
}

type SequenceRow = { readonly last: number | null; readonly greatest: number | null }

/** Of commits, along their index: one search a repo. */
const sequences = `SELECT (SELECT last FROM versioning_sequence WHERE one = 1) AS last,
  (SELECT MAX(written) FROM (
    SELECT MAX(written) AS written FROM repos
    UNION ALL SELECT MAX(made) FROM repos
    UNION ALL SELECT MAX(written) FROM deleted_repos
    UNION ALL SELECT MAX(written) FROM branches
    UNION ALL SELECT MAX((SELECT MAX(written) FROM commits c WHERE c.repo = r.name)) FROM repos r
  ) AS each_table) AS greatest`

async function checkSequence({ database, run }: Ports): Promise<void> {
  const row = await database.read((tx) => tx.get<SequenceRow>(sequences))
  const greatest = row?.greatest ?? 0
  if (row === undefined || (row.last !== null && row.last >= greatest)) return
  await run.report({
    kind: versioningFinding('write-sequence-behind'),
    subject: {},
    what: `the counter of writes is at ${row.last ?? 'nothing'}, and ${greatest} has been given`,
    repair: () => database.transact(repairSequence),
  })
}

async function repairSequence(tx: Transaction): Promise<boolean> {
  const row = await tx.get<SequenceRow>(sequences)
  const greatest = row?.greatest ?? 0
  if (row?.last !== null && (row?.last ?? 0) >= greatest) return false
  await tx.run(
    `INSERT INTO versioning_sequence (one, last) VALUES (1, ?)
      ON CONFLICT (one) DO UPDATE SET last = excluded.last`,
    greatest,
  )
  return true
}
