import { boundBytes } from '../base/byte-sums.ts'
import type { Instant } from '../base/clock.ts'
import { assert, InvalidArgumentError } from '../base/errors.ts'
import { type CommitId, isCommitId, type RepoName } from '../base/names.ts'
import type { ReadTransaction, Transaction } from '../database/database.ts'
import type { DirectoryEntry, TreeRoot } from '../storage/file-trees.ts'
import { AncestorNotFoundError, CommitNotFoundError, RepoNotFoundError } from './errors.ts'
import { commitTopic, repoTopic, type CommitName } from './ports.ts'
import {
  ancestryStepsMax,
  malformedCommitName,
  parseAncestry,
  walkBack,
} from './records/commit-ancestry.ts'
import { commitAncestors, writeCommitProvenance } from './records/commit-provenance.ts'
import { addMergeParent, mergeParents } from './records/commit-parents.ts'
import { findCommitTag } from './records/commit-tag-rows.ts'
import { isInRepo } from './records/deleted-repos.ts'
import { growRepoSize } from './records/repo-sizes.ts'
import { nextWritten } from './records/write-sequence.ts'

/** The tree of a finished commit. */
export interface CommitTree {
  readonly root: TreeRoot
  /** Sum of the sizes of all files. */
  readonly sizeBytes: number
  readonly fileCount: number
}

/** The tree's root as an entry, as the functions of `FileTrees` take it. */
export function treeEntry(tree: CommitTree): DirectoryEntry {
  const { root, sizeBytes, fileCount } = tree
  return { kind: 'directory', root, sizeBytes, fileCount }
}

export type CommitState =
  | { readonly kind: 'open' }
  | { readonly kind: 'finished'; readonly finishedAt: Instant; readonly tree: CommitTree }

/** A commit without what it is made from. */
export interface CommitSummary extends CommitName {
  readonly parent: CommitId | undefined
  readonly startedAt: Instant
  readonly state: CommitState
  /** What somebody said of it; empty for nothing. At most 4,096 bytes. */
  readonly message: string
}

export interface CommitInfo extends CommitSummary {
  /** Every commit that this one is made from, near and far. */
  readonly provenance: readonly CommitName[]
  /** Commits of its repo whose changes a merge brought in, besides those of `parent`, by id. */
  readonly mergeParents: readonly CommitId[]
}

/** A commit whose tree is known from the start, such as a job's output or an imported one. */
export interface FinishedCommit extends CommitName {
  readonly parent: CommitId | undefined
  /** Commits that it is made from directly; theirs are added. */
  readonly provenance: readonly CommitName[]
  readonly startedAt: Instant
  readonly finishedAt: Instant
  /** Durable before the call: the root is a stored chunk, and `chunks.flush` has covered it. */
  readonly tree: CommitTree
  /** What the repo's size grows by: the full new sizes of files added or changed. */
  readonly addedBytes: number
  /** Commits whose changes it has, besides those of `parent`. */
  readonly mergeParents?: readonly CommitId[]
  /** Checked by `parseCommitMessage`. */
  readonly message?: string
}

/** Makes the commit; moves no branch: see `setHead`. @throws {RepoNotFoundError} */
export async function insertFinishedCommit(tx: Transaction, commit: FinishedCommit): Promise<void> {
  const written = await nextWritten(tx)
  const addedBytes = boundBytes(commit.addedBytes)
  await growRepo(tx, commit.repo, { addedBytes, written })
  await tx.run(
    `INSERT INTO commits (id, repo, parent, started_at, finished_at, root, size_bytes, file_count,
       written, staged_last, sealed_until, added_bytes, message)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?)`,
    commit.id,
    commit.repo,
    commit.parent ?? null,
    commit.startedAt,
    commit.finishedAt,
    commit.tree.root,
    commit.tree.sizeBytes,
    commit.tree.fileCount,
    written,
    addedBytes,
    commit.message ?? '',
  )
  for (const parent of commit.mergeParents ?? []) await addMergeParent(tx, commit.id, parent)
  await writeCommitProvenance(tx, commit.id, commit.provenance)
  await tx.emit(commitTopic, `${commit.repo}/${commit.id}`)
}

/** Makes an open commit; moves no branch: see `setHead`. @throws {RepoNotFoundError} */
export async function insertOpenCommit(
  tx: Transaction,
  commit: CommitName & {
    readonly parent: CommitId | undefined
    readonly provenance: readonly CommitName[]
    readonly startedAt: Instant
    /** Checked by `parseCommitMessage`. */
    readonly message?: string
  },
): Promise<void> {
  const repo = await tx.get('SELECT name FROM repos WHERE name = ?', commit.repo)
  if (repo === undefined) throw new RepoNotFoundError(commit.repo)
  await tx.run(
    `INSERT INTO commits (id, repo, parent, started_at, written, staged_last, sealed_until, message)
       VALUES (?, ?, ?, ?, ?, 0, 0, ?)`,
    commit.id,
    commit.repo,
    commit.parent ?? null,
    commit.startedAt,
    await nextWritten(tx),
    commit.message ?? '',
  )
  await writeCommitProvenance(tx, commit.id, commit.provenance)
  await tx.emit(commitTopic, `${commit.repo}/${commit.id}`)
}

/** Turns an open commit into a finished one: the caller has checked that it is open. */
export async function setFinished(
  tx: Transaction,
  commit: CommitName,
  end: {
    readonly finishedAt: Instant
    readonly tree: CommitTree
    readonly addedBytes: number
    /** Replaces the message, if it is not empty. Checked by `parseCommitMessage`. */
    readonly message?: string
  },
): Promise<void> {
  const written = await nextWritten(tx)
  const addedBytes = boundBytes(end.addedBytes)
  await growRepo(tx, commit.repo, { addedBytes, written })
  const changed = await tx.run(
    `UPDATE commits SET finished_at = ?, root = ?, size_bytes = ?, file_count = ?, written = ?,
       added_bytes = ?, sealed_until = 0, message = COALESCE(?, message)
       WHERE id = ? AND finished_at IS NULL`,
    end.finishedAt,
    end.tree.root,
    end.tree.sizeBytes,
    end.tree.fileCount,
    written,
    addedBytes,
    end.message === '' ? null : (end.message ?? null),
    commit.id,
  )
  assert(changed === 1, 'a commit that finishes was open')
  await tx.emit(commitTopic, `${commit.repo}/${commit.id}`)
}

async function growRepo(
  tx: Transaction,
  repo: RepoName,
  growth: { readonly addedBytes: number; readonly written: number },
): Promise<void> {
  if (!(await growRepoSize(tx, repo, growth))) throw new RepoNotFoundError(repo)
  await tx.emit(repoTopic, repo)
}

/** A commit's row as it is stored; `commitInfo` makes it whole. */
export type CommitRow = {
  readonly id: CommitId
  readonly repo: RepoName
  readonly parent: CommitId | null
  readonly started_at: number
  readonly finished_at: number | null
  readonly root: TreeRoot | null
  readonly size_bytes: number | null
  readonly file_count: number | null
  readonly written: number
  readonly message: string
}

export const commitColumns =
  'id, repo, parent, started_at, finished_at, root, size_bytes, file_count, written, message'

/** The columns of a table that is joined with others. */
export function commitColumnsOf(table: string): string {
  return commitColumns
    .split(', ')
    .map((column) => `${table}.${column}`)
    .join(', ')
}

export async function commitInfo(tx: ReadTransaction, row: CommitRow): Promise<CommitInfo> {
  return {
    ...commitSummary(row),
    provenance: await commitAncestors(tx, row.id),
    mergeParents: await mergeParents(tx, row.id),
  }
}

export function commitSummary(row: CommitRow): CommitSummary {
  return {
    repo: row.repo,
    id: row.id,
    parent: row.parent ?? undefined,
    startedAt: row.started_at,
    state: commitState(row),
    message: row.message,
  }
}

function commitState(row: CommitRow): CommitState {
  if (row.finished_at === null) return { kind: 'open' }
  assert(
    row.root !== null && row.size_bytes !== null && row.file_count !== null,
    'a finished commit has its tree',
  )
  const tree = { root: row.root, sizeBytes: row.size_bytes, fileCount: row.file_count }
  return { kind: 'finished', finishedAt: row.finished_at, tree }
}

/** The commit that `name` says, as in `resolveCommitId`. */
export async function findCommit(
  tx: ReadTransaction,
  repo: string,
  name: string,
): Promise<CommitInfo | undefined> {
  const id = await resolveCommitId(tx, repo, name)
  const row = await tx.get<CommitRow>(
    `SELECT ${commitColumns} FROM commits WHERE id = ? AND repo = ? AND ${isInRepo}`,
    id,
    repo,
  )
  return row === undefined ? undefined : commitInfo(tx, row)
}

/** Of some ids, those of commits that a repo has. */
export async function commitsAmong(
  tx: ReadTransaction,
  repo: RepoName,
  ids: readonly CommitId[],
): Promise<ReadonlySet<CommitId>> {
  if (ids.length === 0) return new Set()
  const rows = await tx.all<{ readonly id: CommitId }>(
    `SELECT id FROM commits WHERE id IN (${ids.map(() => '?').join(', ')}) AND repo = ? AND ${isInRepo}`,
    ...ids,
    repo,
  )
  return new Set(rows.map(({ id }) => id))
}

/**
 * @throws {RepoNotFoundError}
 * @throws {CommitNotFoundError}
 * @throws {AncestorNotFoundError}
 * @throws {InvalidArgumentError} for a name that is malformed.
 */
export async function getCommit(
  tx: ReadTransaction,
  repo: string,
  name: string,
): Promise<CommitInfo> {
  const commit = await findCommit(tx, repo, name)
  if (commit === undefined) throw await commitNotFound(tx, repo, name)
  return commit
}

/** The error that says best what is missing: the repo, or the commit in it. */
export async function commitNotFound(
  tx: ReadTransaction,
  repo: string,
  name: string,
  options?: { readonly isForPut: boolean },
): Promise<RepoNotFoundError | CommitNotFoundError> {
  const row = await tx.get('SELECT name FROM repos WHERE name = ?', repo)
  if (row === undefined) return new RepoNotFoundError(repo)
  return new CommitNotFoundError(repo, name, options)
}

/**
 * The one place that says what the name of a commit means: the head of a branch, else the commit of
 * a tag, else an id; where nothing is called exactly so, what `parseAncestry` makes of it. Returns
 * `name` itself when it means nothing: it is no commit's id.
 *
 * Costs one look-up for each commit that a name goes back, at most `ancestryStepsMax`.
 *
 * @throws {AncestorNotFoundError} when the line of commits is shorter.
 * @throws {InvalidArgumentError} for a name that is malformed, or goes back too far.
 */
export async function resolveCommitId(
  tx: ReadTransaction,
  repo: string,
  name: string,
): Promise<string> {
  const named = await namedCommit(tx, repo, name)
  if (named !== undefined) return named
  const ancestry = parseAncestry(name)
  for (const base of ancestry?.bases ?? []) {
    const start = await exactCommit(tx, repo, base.name)
    if (start === undefined) continue
    const end = await walkBack(tx, start, base.steps)
    if ('id' in end) return end.id
    throw new AncestorNotFoundError({ repo, name, start, ancestorCount: end.ancestorCount })
  }
  if (ancestry?.mayBeMalformed === true) throw malformedCommitName(name)
  return name
}

/**
 * For names that are looked up in one transaction: together they may go back as far as one of them.
 *
 * @throws {InvalidArgumentError} when they go back further, or one of them is malformed.
 */
export function checkCommitNames(names: readonly string[]): void {
  let steps = 0
  for (const name of names) steps += parseAncestry(name)?.bases.at(-1)?.steps ?? 0
  if (steps <= ancestryStepsMax) return
  throw new InvalidArgumentError(
    `the names of commits go back ${steps} commits together, and at most ${ancestryStepsMax} are counted in one request: give the ids of some, which list-commit shows`,
  )
}

/** The commit that `name` says, as in `resolveCommitId`, without what it is made from. Throws as `getCommit`. */
export async function getCommitName(
  tx: ReadTransaction,
  repo: string,
  name: string,
): Promise<CommitName> {
  const id = await resolveCommitId(tx, repo, name)
  const row = await tx.get<{ readonly repo: RepoName; readonly id: CommitId }>(
    `SELECT repo, id FROM commits WHERE id = ? AND repo = ? AND ${isInRepo}`,
    id,
    repo,
  )
  if (row === undefined) throw await commitNotFound(tx, repo, name)
  return { repo: row.repo, id: row.id }
}

/** What a branch or a commit tag of exactly this name points at. */
async function namedCommit(
  tx: ReadTransaction,
  repo: string,
  name: string,
): Promise<CommitId | undefined> {
  const branch = await tx.get<{ readonly head: CommitId }>(
    'SELECT head FROM branches WHERE repo = ? AND name = ?',
    repo,
    name,
  )
  if (branch !== undefined) return branch.head
  // No tag is as long as an id.
  if (isCommitId(name)) return undefined
  return (await findCommitTag(tx, repo, name))?.id
}

async function exactCommit(
  tx: ReadTransaction,
  repo: string,
  name: string,
): Promise<CommitId | undefined> {
  const named = await namedCommit(tx, repo, name)
  if (named !== undefined) return named
  const row = await tx.get<{ readonly id: CommitId }>(
    `SELECT id FROM commits WHERE id = ? AND repo = ? AND ${isInRepo}`,
    name,
    repo,
  )
  return row?.id
}

/** The first finished commit of `repo` whose provenance contains all of `commits`. */
export async function findDerivedCommit(
  tx: ReadTransaction,
  repo: RepoName,
  commits: readonly CommitName[],
): Promise<CommitInfo | undefined> {
  const [first, ...others] = commits
  assert(first !== undefined, 'a derived commit has something that it is derived from')
  const othersToo = others.map(
    () => `AND EXISTS (SELECT 1 FROM commit_provenance
      WHERE id = commits.id AND ancestor = ? AND ancestor_repo = ?)`,
  )
  // The appended nothing keeps the planner from walking all of the repo's commits by age: what is
  // made from one commit is little.
  const row = await tx.get<CommitRow>(
    `SELECT ${commitColumnsOf('commits')} FROM commit_provenance AS given
      JOIN commits ON commits.id = given.id
      WHERE given.ancestor = ? AND given.ancestor_repo = ? AND commits.repo || '' = ?
        AND commits.finished_at IS NOT NULL AND ${isInRepo} ${othersToo.join(' ')}
      ORDER BY commits.written LIMIT 1`,
    first.id,
    first.repo,
    repo,
    ...others.flatMap((commit) => [commit.id, commit.repo]),
  )
  return row === undefined ? undefined : commitInfo(tx, row)
}
