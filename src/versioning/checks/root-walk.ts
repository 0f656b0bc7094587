import type { CheckRun } from '../../base/check-run.ts'
import { DataLossError } from '../../base/errors.ts'
import type { CommitId, RepoName } from '../../base/names.ts'
import { pathOfKey } from '../../base/paths.ts'
import type { Database, Transaction } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'
import type { TreeRoot } from '../../storage/file-trees.ts'
import type { ChunkOwner, RootVisitor, TreeTotals } from '../../storage/store-check.ts'
import { fileCodec, piecesCodec, recordsOfChunk } from '../staging/runs.ts'
import { decodeStaged, type RunsWrite } from '../staging/staged-rows.ts'
import { versioningFinding } from '../versioning-findings.ts'
import { contentOf, objectPages } from './object-check.ts'
import { stagedPages, type StagedRow } from './staged-check.ts'

interface Ports {
  readonly database: Database
  readonly run: CheckRun
}

interface TreeRow {
  readonly [column: string]: string | number | null
  readonly id: CommitId
  readonly repo: RepoName
  readonly written: number
  readonly root: TreeRoot
  readonly size_bytes: number | null
  readonly file_count: number | null
}

interface KeptRow {
  readonly [column: string]: string | number
  readonly key: string
  readonly root: TreeRoot
  readonly file_count: number
}

/** Visits all that the rows of versioning refer to: staged writes first, as `collectionRoots` does. */
export async function visitRoots(ports: Ports, visitor: RootVisitor): Promise<void> {
  const { database, run } = ports
  run.stage = 'staged contents'
  for await (const page of stagedPages(database)) {
    for (const row of page) await visitStaged(row, visitor)
  }
  run.stage = 'objects'
  for await (const page of objectPages(database)) {
    for (const row of page) {
      const content = contentOf(row)
      const owner = { subject: { object: row.hash }, name: `object ${row.hash}` }
      if (content !== undefined) await visitor.content(content, owner)
    }
  }
  run.stage = 'kept transfers'
  const keptQuery = {
    sql: 'SELECT key, root, file_count FROM kept_transfers WHERE key > ? ORDER BY key',
    first: [''],
    keyOf: ({ key }: KeptRow) => [key],
  }
  for await (const page of pagesOf<KeptRow>(database, keptQuery)) {
    for (const { key, root, file_count: fileCount } of page) {
      await visitor.tree(root, { subject: {}, name: `kept transfer ${key}` }, fileCount)
    }
  }
  run.stage = 'trees'
  // Repo by repo in the order of writing, so that what commits share is still in memory.
  const query = {
    sql: `SELECT id, repo, written, root, size_bytes, file_count FROM commits
      WHERE (repo, written, id) > (?, ?, ?) AND root IS NOT NULL ORDER BY repo, written, id`,
    // Numbers that are wrong must not hide a root.
    first: ['', Number.MIN_SAFE_INTEGER, ''],
    keyOf: ({ repo, written, id }: TreeRow) => [repo, written, id],
  }
  for await (const page of pagesOf<TreeRow>(database, query)) {
    for (const row of page) await visitTree(ports, row, visitor)
  }
}

async function visitTree(ports: Ports, row: TreeRow, visitor: RootVisitor): Promise<void> {
  const { run, database } = ports
  run.throwIfCancelled()
  const { id, repo, root, size_bytes: sizeBytes, file_count: fileCount } = row
  const owner: ChunkOwner = { subject: { repo, commit: id }, name: `${repo}@${id}` }
  const totals = await visitor.tree(root, owner, fileCount ?? 0)
  // Of a commit that is neither open nor finished it is told elsewhere.
  if (totals === undefined || sizeBytes === null || fileCount === null) return
  if (totals.sizeBytes === sizeBytes && totals.fileCount === fileCount) return
  await run.report({
    kind: versioningFinding('commit-sums-wrong'),
    subject: owner.subject,
    what: `commit ${repo}/${id} has ${totals.sizeBytes} bytes in ${totals.fileCount} files, and ${sizeBytes} bytes in ${fileCount} files are said`,
    repair: () => database.transact((tx) => repairSums(tx, row, totals)),
  })
}

async function repairSums(tx: Transaction, row: TreeRow, totals: TreeTotals): Promise<boolean> {
  const changed = await tx.run(
    `UPDATE commits SET size_bytes = ?, file_count = ? WHERE id = ? AND root = ?`,
    totals.sizeBytes,
    totals.fileCount,
    row.id,
    row.root,
  )
  return changed > 0
}

async function visitStaged(row: StagedRow, visitor: RootVisitor): Promise<void> {
  const { id, repo, sequence } = row
  const owner: ChunkOwner = {
    subject: { repo, commit: id },
    name: `write ${sequence} to open commit ${repo}@${id}`,
  }
  try {
    const write = decodeStaged(row)
    if (write.kind === 'put' && write.value.kind === 'content') {
      await visitor.content(write.value.content, { ...owner, name: `${owner.name}:${write.path}` })
    }
    if (write.kind === 'graft') {
      const { entry, path } = write
      const from = { ...owner, name: `${owner.name}:${path}` }
      if (entry.kind === 'file') await visitor.content(entry.content, from)
      else await visitor.tree(entry.root, from, entry.fileCount)
    }
    if (write.kind === 'bulk' || write.kind === 'splits') await visitRuns(write, owner, visitor)
  } catch (error) {
    // The check of the rows tells of what makes no sense.
    if (!(error instanceof DataLossError || error instanceof TypeError)) throw error
  }
}

async function visitRuns(
  { kind, runs }: RunsWrite,
  owner: ChunkOwner,
  visitor: RootVisitor,
): Promise<void> {
  for (const chunk of runs.flat()) {
    const bytes = await visitor.chunk(chunk, owner)
    if (bytes === undefined) continue
    if (kind === 'splits') {
      for (const { key, content } of recordsOfChunk(piecesCodec, bytes)) {
        const from = { ...owner, name: `${owner.name}:${pathOfKey(key)}` }
        await visitor.tree(content.root, from, content.fileCount)
      }
    } else {
      for (const { content } of recordsOfChunk(fileCodec, bytes)) {
        await visitor.content(content, owner)
      }
    }
  }
}
