import type { CheckRun } from '../../base/check-run.ts'
import {
  type CommitId,
  parseCommitId,
  parseImportedBranchName,
  type RepoName,
} from '../../base/names.ts'
import type { Database, ReadTransaction, Transaction } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'
import { versioningFinding } from '../versioning-findings.ts'
import { parseCommitMessage } from '../records/commit-messages.ts'
import { isBeingDeleted } from '../records/deleted-repos.ts'
import { checkStagedCount } from './staged-check.ts'
import { textProblem } from './text-problem.ts'

interface Ports {
  readonly database: Database
  readonly run: CheckRun
}

interface CommitRow {
  readonly [column: string]: string | number | null
  readonly id: CommitId
  readonly repo: RepoName
  readonly parent: CommitId | null
  readonly finished_at: number | null
  readonly root: string | null
  readonly size_bytes: number | null
  readonly file_count: number | null
  readonly repo_made: number | null
  readonly parent_repo: string | null
  readonly parent_finished: number | null
  readonly written: number
  readonly parent_written: number | null
  readonly added_bytes: number | null
  readonly message: string
}

const commits = `SELECT c.id, c.repo, c.parent, c.finished_at, c.root, c.size_bytes, c.file_count,
    c.written, c.added_bytes, c.message, r.made AS repo_made, p.repo AS parent_repo,
    p.finished_at AS parent_finished, p.written AS parent_written
  FROM commits c LEFT JOIN repos r ON r.name = c.repo LEFT JOIN commits p ON p.id = c.parent
  WHERE c.id > ? ORDER BY c.id`

/** Commits as rows: repo, parent, state, and what they are made from. Each page is one snapshot. */
export async function checkCommits(ports: Ports): Promise<void> {
  const { database, run } = ports
  run.stage = 'commits'
  const query = { sql: commits, first: [''], keyOf: ({ id }: CommitRow) => [id] }
  for await (const page of pagesOf<CommitRow>(database, query)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const row of page) {
      // Nobody sees it any more, and it is about to go.
      if (!isSeen(row) && (await isGoing(ports, row))) continue
      await checkRow(ports, row)
      await checkTexts(ports, row)
      await checkClosure(ports, row)
      // In the pages of all commits, since no index knows the open ones.
      if (row.finished_at === null) await checkStagedCount(ports, row.id)
    }
  }
  await checkBranches(ports)
  await checkLeftOver(ports)
}

/** Its repo is there, and was made before it. */
function isSeen({ repo_made: made, written }: CommitRow): boolean {
  return made !== null && made < written
}

/** It goes with its repo, or has gone since it was read. */
async function isGoing({ database }: Ports, row: CommitRow): Promise<boolean> {
  return await database.read(async (tx) => {
    if (await isBeingDeleted(tx, row)) return true
    return (await tx.get('SELECT id FROM commits WHERE id = ?', row.id)) === undefined
  })
}

async function checkRow({ run }: Ports, row: CommitRow): Promise<void> {
  const { id, repo, parent } = row
  const subject = { repo, commit: id }
  if (!isSeen(row)) {
    const gone =
      row.repo_made === null ? 'which does not exist' : 'as it was before it was made anew'
    const what = `commit ${id} is in the repo ${repo}, ${gone}`
    await run.report({ kind: versioningFinding('repo-missing'), subject, what })
  }
  if (parent !== null && (row.parent_repo !== repo || row.parent_finished === null)) {
    const problem =
      row.parent_repo === null
        ? 'which does not exist'
        : row.parent_repo !== repo
          ? `which is in the repo ${row.parent_repo}`
          : 'which is not finished'
    const what = `commit ${repo}/${id} follows ${parent}, ${problem}`
    await run.report({ kind: versioningFinding('commit-parent-missing'), subject, what })
  }
  // Of one that is not finished it is told above.
  if (row.parent_finished !== null && (row.parent_written ?? 0) >= row.written) {
    const what = `commit ${repo}/${id} is numbered ${row.written}, and follows ${parent === id ? 'itself' : `${parent}, which is numbered ${row.parent_written}`}: a commit is written after what it follows`
    await run.report({ kind: versioningFinding('commit-order-wrong'), subject, what })
  }
  const parts = [row.finished_at, row.root, row.size_bytes, row.file_count]
  const missing = parts.filter((part) => part === null).length
  if (missing === 0 || missing === parts.length) return
  const what = `commit ${repo}/${id} has ${parts.length - missing} of the four facts of a finished commit`
  await run.report({ kind: versioningFinding('commit-state-wrong'), subject, what })
}

async function checkTexts({ run }: Ports, { id, repo, message }: CommitRow): Promise<void> {
  const subject = { repo, commit: id }
  const name = textProblem(parseCommitId, id)
  if (name !== undefined) {
    const what = `a commit of repo ${repo}: ${name}`
    await run.report({ kind: versioningFinding('name-invalid'), subject, what })
  }
  const problem = textProblem(parseCommitMessage, message)
  if (problem === undefined) return
  const what = `commit ${repo}/${id}: ${problem}`
  await run.report({ kind: versioningFinding('commit-message-wrong'), subject, what })
}

interface EdgeRow {
  readonly [column: string]: string | number | null
  readonly ancestor: CommitId
  readonly ancestor_repo: RepoName
  readonly direct: number
  readonly found_repo: RepoName | null
}

async function edgesOf(tx: ReadTransaction, id: string): Promise<readonly EdgeRow[]> {
  return await tx.all<EdgeRow>(
    `SELECT p.ancestor, p.ancestor_repo, p.direct, c.repo AS found_repo FROM commit_provenance p
      LEFT JOIN commits c ON c.id = p.ancestor WHERE p.id = ? ORDER BY p.ancestor`,
    id,
  )
}

interface Closure {
  readonly stored: ReadonlyMap<CommitId, EdgeRow>
  /** Every ancestor that is reached by direct edges alone, and its repo. */
  readonly expected: ReadonlyMap<CommitId, RepoName>
}

async function closureOf(tx: ReadTransaction, id: CommitId): Promise<Closure> {
  const edges = await edgesOf(tx, id)
  const stored = new Map(edges.map((edge) => [edge.ancestor, edge]))
  const expected = new Map<CommitId, RepoName>()
  const ahead = [...edges]
  for (let edge = ahead.pop(); edge !== undefined; edge = ahead.pop()) {
    const { ancestor, ancestor_repo: repo, direct, found_repo: found } = edge
    if (direct !== 1 || expected.has(ancestor)) continue
    expected.set(ancestor, found ?? repo)
    ahead.push(...(await edgesOf(tx, ancestor)))
  }
  return { stored, expected }
}

/** What follows from direct edges and is not said. */
function lacking({ stored, expected }: Closure): string | undefined {
  for (const [ancestor, repo] of expected) {
    const edge = stored.get(ancestor)
    if (edge === undefined) return `is not said to be made from ${repo}/${ancestor}, and is`
    if (edge.ancestor_repo !== repo) {
      return `is said to be made from ${edge.ancestor_repo}/${ancestor}, which is in ${repo}`
    }
  }
  return undefined
}

/** What is said and does not follow: a row too many, or from an edge that is lost. */
function unexplained(id: CommitId, { stored, expected }: Closure): string | undefined {
  if (stored.has(id)) return 'is said to be made from itself'
  // Of a commit that was deleted, with its repo or while it was open, what it was made from stays.
  if ([...stored.values()].some(({ found_repo: found }) => found === null)) return undefined
  for (const ancestor of stored.keys()) {
    if (!expected.has(ancestor)) return `is said to be made from ${ancestor}, by way of nothing`
  }
  return undefined
}

async function checkClosure({ database, run }: Ports, row: CommitRow): Promise<void> {
  const { id, repo } = row
  const closure = await database.read((tx) => closureOf(tx, id))
  run.counts.rows += closure.stored.size
  const subject = { repo, commit: id }
  const missing = lacking(closure)
  if (missing !== undefined) {
    await run.report({
      kind: versioningFinding('commit-provenance-wrong'),
      subject,
      what: `commit ${repo}/${id} ${missing}`,
      repair: () => database.transact((tx) => repairClosure(tx, id)),
    })
  }
  const extra = unexplained(id, closure)
  if (extra === undefined) return
  const kind = versioningFinding('provenance-unexplained')
  await run.report({ kind, subject, what: `commit ${repo}/${id} ${extra}` })
}

async function repairClosure(tx: Transaction, id: CommitId): Promise<boolean> {
  const closure = await closureOf(tx, id)
  if (lacking(closure) === undefined || closure.expected.has(id)) return false
  for (const [ancestor, repo] of closure.expected) {
    await tx.run(
      `INSERT INTO commit_provenance (id, ancestor, ancestor_repo, direct) VALUES (?, ?, ?, 0)
        ON CONFLICT (id, ancestor) DO UPDATE SET ancestor_repo = excluded.ancestor_repo`,
      id,
      ancestor,
      repo,
    )
  }
  return true
}

interface BranchRow {
  readonly [column: string]: string | number | null
  readonly repo: RepoName
  readonly name: string
  readonly head: CommitId
  readonly repo_found: string | null
  readonly head_repo: string | null
}

const branches = `SELECT b.repo, b.name, b.head, r.name AS repo_found, c.repo AS head_repo
  FROM branches b LEFT JOIN repos r ON r.name = b.repo LEFT JOIN commits c ON c.id = b.head
  WHERE (b.repo, b.name) > (?, ?) ORDER BY b.repo, b.name`

async function checkBranches({ database, run }: Ports): Promise<void> {
  run.stage = 'branches'
  const query = {
    sql: branches,
    first: ['', ''],
    keyOf: ({ repo, name }: BranchRow) => [repo, name],
  }
  for await (const page of pagesOf<BranchRow>(database, query)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const { repo, name, head, repo_found: found, head_repo: headRepo } of page) {
      const subject = { repo, branch: name }
      const invalid = textProblem(parseImportedBranchName, name)
      if (invalid !== undefined) {
        const what = `a branch of repo ${repo}: ${invalid}`
        await run.report({ kind: versioningFinding('name-invalid'), subject, what })
      }
      if (found === null) {
        const what = `branch ${name} is in the repo ${repo}, which does not exist`
        await run.report({ kind: versioningFinding('repo-missing'), subject, what })
      }
      if (headRepo === repo) continue
      const problem = headRepo === null ? 'does not exist' : `is in the repo ${headRepo}`
      const what = `branch ${repo}/${name} names the commit ${head}, which ${problem}`
      await run.report({ kind: versioningFinding('branch-head-missing'), subject, what })
    }
  }
}

const orphans = `FROM commit_provenance
  WHERE NOT EXISTS (SELECT 1 FROM commits WHERE commits.id = commit_provenance.id)`

type OrphanRow = { readonly id: string; readonly ancestor: string; readonly found: string | null }

/** Page by page, since there may be many rows; and deleted one by one, if any. */
async function checkLeftOver({ database, run }: Ports): Promise<void> {
  const query = {
    sql: `SELECT p.id, p.ancestor, c.id AS found FROM commit_provenance p
      LEFT JOIN commits c ON c.id = p.id WHERE (p.id, p.ancestor) > (?, ?) ORDER BY p.id, p.ancestor`,
    first: ['', ''],
    keyOf: ({ id, ancestor }: OrphanRow) => [id, ancestor],
    pageRows: 2000,
  }
  let count = 0
  for await (const page of pagesOf<OrphanRow>(database, query)) {
    run.throwIfCancelled()
    count += page.filter(({ found }) => found === null).length
  }
  if (count === 0) return
  await run.report({
    kind: versioningFinding('provenance-left-over'),
    subject: {},
    what: `${count} rows say what commits that do not exist are made from`,
    repair: async () => (await database.transact((tx) => tx.run(`DELETE ${orphans}`))) > 0,
  })
}
