import { boundBytes } from '../base/byte-sums.ts'
import type { Instant } from '../base/clock.ts'
import type { BranchName, CommitId, RepoName } from '../base/names.ts'
import { type FilePath, parentPath, rootPath } from '../base/paths.ts'
import type { Database, ReadTransaction, SqlRow, Transaction } from '../database/database.ts'
import { pagesOf } from '../database/pages.ts'
import type { CollectionRoot } from '../storage/collection-roots.ts'
import type { Content } from '../storage/contents.ts'
import type { DirectoryEntry, FileTrees, TreeRoot } from '../storage/file-trees.ts'
import { setHead } from './branches.ts'
import {
  insertFinishedCommit,
  insertOpenCommit,
  treeEntry,
  type CommitTree,
} from './commit-records.ts'
import type { CommitName } from './ports.ts'
import { deleteIfGone, isInRepo } from './records/deleted-repos.ts'
import { nextWritten } from './records/write-sequence.ts'
import { createRepo, type RepoSpec } from './repos.ts'
import { appendStaged, requireOpen } from './staging/stage.ts'
import { decodeContent, encodeContent } from './staging/staged-bytes.ts'
import { encodeStaged, type StagedColumns } from './staging/staged-rows.ts'

/**
 * Names a migration, from its first attempt to the one that completes it. Only what this migration
 * has brought is kept for it: what an earlier one has brought may be gone.
 */
export type ImportRun = number

/** An object of an old cluster, by its name there, and what holds its bytes here. */
export interface ImportedObject {
  readonly hash: string
  readonly content: Content
}

interface ObjectRow extends SqlRow {
  readonly hash: string
  readonly content: Uint8Array
}

interface TreeRow extends SqlRow {
  readonly root: string
  readonly size_bytes: number
  readonly file_count: number
}

interface ImportedTreeRow extends TreeRow {
  readonly hash: string
}

/** Those of `hashes` (at most a few hundred) that `run` has brought; without one, that any has. */
export async function findImportedObjects(
  tx: ReadTransaction,
  hashes: readonly string[],
  run?: ImportRun,
): Promise<ReadonlyMap<string, Content>> {
  if (hashes.length === 0) return new Map()
  const rows = await tx.all<ObjectRow>(
    `SELECT hash, content FROM imported_objects
      WHERE hash IN (${hashes.map(() => '?').join(', ')}) AND run = COALESCE(?, run)`,
    ...hashes,
    run ?? null,
  )
  return new Map(rows.map(({ hash, content }) => [hash, decodeContent(content)]))
}

/** The chunks must be durable. */
export async function recordImportedObjects(
  tx: Transaction,
  run: ImportRun,
  objects: readonly ImportedObject[],
): Promise<void> {
  for (const { hash, content } of objects) {
    await tx.run(
      `INSERT INTO imported_objects (hash, run, content) VALUES (?, ?, ?)
        ON CONFLICT (hash) DO UPDATE SET run = excluded.run, content = excluded.content`,
      hash,
      run,
      encodeContent(content),
    )
  }
}

/** As `findImportedObjects`. */
export async function findImportedTree(
  tx: ReadTransaction,
  hash: string,
  run?: ImportRun,
): Promise<CommitTree | undefined> {
  const row = await tx.get<ImportedTreeRow>(
    'SELECT * FROM imported_trees WHERE hash = ? AND run = COALESCE(?, run)',
    hash,
    run ?? null,
  )
  return row && treeOf(row)
}

/** Those of `hashes` (at most a few hundred) that `run` has brought. */
export async function findImportedTrees(
  tx: ReadTransaction,
  hashes: readonly string[],
  run: ImportRun,
): Promise<ReadonlyMap<string, CommitTree>> {
  if (hashes.length === 0) return new Map()
  const rows = await tx.all<ImportedTreeRow>(
    `SELECT * FROM imported_trees
      WHERE hash IN (${hashes.map(() => '?').join(', ')}) AND run = ?`,
    ...hashes,
    run,
  )
  return new Map(rows.map((row) => [row.hash, treeOf(row)]))
}

/** The chunks must be durable. */
export async function recordImportedTree(
  tx: Transaction,
  run: ImportRun,
  { hash, tree }: { readonly hash: string; readonly tree: CommitTree },
): Promise<void> {
  await tx.run(
    `INSERT INTO imported_trees (hash, run, root, size_bytes, file_count) VALUES (?, ?, ?, ?, ?)
      ON CONFLICT (hash) DO UPDATE SET run = excluded.run, root = excluded.root,
        size_bytes = excluded.size_bytes, file_count = excluded.file_count`,
    hash,
    run,
    tree.root,
    tree.sizeBytes,
    tree.fileCount,
  )
}

function treeOf(row: TreeRow): CommitTree {
  return { root: row.root as TreeRoot, sizeBytes: row.size_bytes, fileCount: row.file_count }
}

/** All that `run` has brought, for as long as nothing else refers to it. */
export async function* importedRoots(
  database: Database,
  run: ImportRun,
): AsyncGenerator<CollectionRoot> {
  const byHash = {
    first: [''],
    given: [run],
    keyOf: ({ hash }: { readonly hash: string }) => [hash],
  }
  const objects =
    'SELECT hash, content FROM imported_objects WHERE run = ? AND hash > ? ORDER BY hash'
  for await (const page of pagesOf<ObjectRow>(database, { ...byHash, sql: objects })) {
    for (const { content } of page) yield { kind: 'content', content: decodeContent(content) }
  }
  const trees = 'SELECT * FROM imported_trees WHERE run = ? AND hash > ? ORDER BY hash'
  for await (const page of pagesOf<ImportedTreeRow>(database, { ...byHash, sql: trees })) {
    for (const row of page) yield { kind: 'tree', root: treeOf(row).root }
  }
}

export async function forgetImported(tx: Transaction, run: ImportRun): Promise<void> {
  await tx.run('DELETE FROM imported_objects WHERE run = ?', run)
  await tx.run('DELETE FROM imported_trees WHERE run = ?', run)
}

export async function importRepo(
  tx: Transaction,
  repo: RepoSpec & { readonly createdAt: Instant },
): Promise<void> {
  await createRepo(tx, repo)
}

/**
 * Gives a repo the size that it had, if any of its finished commits came, and the next place in lists, once
 * these are there.
 */
export async function settleImportedRepo(
  tx: Transaction,
  repo: RepoName,
  sizeBytes: number,
): Promise<void> {
  await tx.run(
    `UPDATE repos SET size_bytes = CASE WHEN EXISTS (SELECT 1 FROM commits
        WHERE repo = repos.name AND finished_at IS NOT NULL) THEN ? ELSE 0 END, written = ?
      WHERE name = ?`,
    boundBytes(sizeBytes),
    await nextWritten(tx),
    repo,
  )
  // What each of its commits added is not known.
  await tx.run('UPDATE commits SET added_bytes = NULL WHERE repo = ?', repo)
}

/** A commit as it was elsewhere, with its id. What it refers to must be there. */
export interface ImportedCommit extends CommitName {
  readonly parent: CommitId | undefined
  readonly provenance: readonly CommitName[]
  readonly startedAt: Instant
  readonly state:
    | { readonly kind: 'finished'; readonly finishedAt: Instant; readonly tree: CommitTree }
    /** As `changesBetween` says it. */
    | { readonly kind: 'open'; readonly staged: readonly StagedColumns[] }
}

/** Whether a commit of that id is in `repo`; without one, in some repo. */
export async function hasCommit(
  tx: Pick<ReadTransaction, 'get'>,
  id: string,
  repo?: string,
): Promise<boolean> {
  const found = await tx.get<{ readonly repo: string }>(
    `SELECT repo FROM commits WHERE id = ? AND ${isInRepo}`,
    id,
  )
  return found !== undefined && (repo === undefined || found.repo === repo)
}

/** What those of `ids` (at most a few hundred) hold that are there, and finished. */
export async function findFinishedTrees(
  tx: ReadTransaction,
  ids: readonly string[],
): Promise<ReadonlyMap<string, CommitTree>> {
  if (ids.length === 0) return new Map()
  const rows = await tx.all<TreeRow & { readonly id: string }>(
    `SELECT id, root, size_bytes, file_count FROM commits
      WHERE id IN (${ids.map(() => '?').join(', ')}) AND root IS NOT NULL AND ${isInRepo}`,
    ...ids,
  )
  return new Map(rows.map((row) => [row.id, treeOf(row)]))
}

export async function importCommit(tx: Transaction, commit: ImportedCommit): Promise<void> {
  const { state, ...rest } = commit
  await deleteIfGone(tx, commit.id)
  if (state.kind === 'finished') {
    const { finishedAt, tree } = state
    await insertFinishedCommit(tx, { ...rest, finishedAt, tree, addedBytes: 0 })
    return
  }
  await insertOpenCommit(tx, rest)
  for (const columns of state.staged) {
    const { repo, id: name } = commit
    await appendStaged(tx, await requireOpen(tx, { repo, name, call: 'put' }), columns)
  }
}

/** Points a branch at a commit; whoever reads it does not hear of that. */
export async function importBranch(
  tx: Transaction,
  branch: { readonly repo: RepoName; readonly name: BranchName; readonly head: CommitId },
): Promise<void> {
  await setHead(tx, async () => {}, branch)
}

/** The staged writes that make of one tree another. A directory that only lost its files stays. */
export async function changesBetween(
  trees: FileTrees,
  before: CommitTree | undefined,
  after: CommitTree,
): Promise<readonly StagedColumns[]> {
  const deleted = new Set<FilePath>()
  const puts: StagedColumns[] = []
  const [old, young] = [before && treeEntry(before), treeEntry(after)]
  for await (const { path, after: entry } of trees.diff(old, young)) {
    if (entry === undefined) deleted.add(await topOfMissing(trees, young, path))
    else if (entry.kind === 'file') {
      const value = { kind: 'content', content: entry.content } as const
      puts.push(encodeStaged({ kind: 'put', path, overwrite: true, value }))
    }
  }
  // Deletions first: where a file is now a directory, it must go before.
  return [...Array.from(deleted, (path) => encodeStaged({ kind: 'delete', path })), ...puts]
}

/** The directory highest up on the way to `path` that is none any more; else `path` itself. */
async function topOfMissing(
  trees: FileTrees,
  tree: DirectoryEntry,
  path: FilePath,
): Promise<FilePath> {
  let top = path
  for (let above = parentPath(path); above !== rootPath; above = parentPath(above)) {
    const found = await trees.get(tree, above)
    if (found?.kind === 'directory') break
    // Not there, or a file now.
    top = above
  }
  return top
}

export type { StagedColumns } from './staging/staged-rows.ts'
