import type { CommitId } from '../../base/names.ts'
import type { Transaction } from '../../database/database.ts'
import type { DirectoryEntry } from '../../storage/file-trees.ts'
import { branchesAt } from '../branches.ts'
import {
  type CommitInfo,
  type CommitTree,
  getCommit,
  setFinished,
  treeEntry,
} from '../commit-records.ts'
import { FileDirectoryConflictError } from '../../storage/tree-errors.ts'
import { CommitFinishedError } from '../errors.ts'
import { contentSizeBytes } from '../../storage/contents.ts'
import type { VersioningPorts } from '../ports.ts'
import { checkCancelled } from '../records/cancellation.ts'
import type { OpenTree, OpenTrees } from '../staging/open-trees.ts'
import { sweepCommit } from '../staging/sweep.ts'

/** Builds that puts may outrun before they are made to wait. */
const sealAfterAttempts = 3
/** How long puts wait for a sealed commit at most, should the one that sealed it be gone. */
const sealMicros = 30_000_000
/** Staged writes that are deleted in the transaction that finishes; more are swept after it. */
const deletedAtOnceMax = 2000

type OpenCommit = CommitInfo & { readonly state: { readonly kind: 'open' } }

/**
 * Builds the tree up to a staged write *n*, then finishes in a transaction that requires that *n*
 * is still the last; puts that came between are built on top, and after a few tries made to wait.
 */
export async function finishCommit(
  ports: VersioningPorts,
  openTrees: OpenTrees,
  options: {
    readonly repo: string
    readonly commit: string
    readonly signal: AbortSignal | undefined
  },
): Promise<CommitInfo> {
  const { repo, commit, signal } = options
  using lease = ports.leases.begin()
  const { id, parent } = await openCommit(ports, repo, commit)
  const parentTree = await lease.acquire(async () => {
    const tree = await treeOf(ports, repo, parent)
    if (tree !== undefined) lease.hold({ kind: 'tree', root: tree.root })
    return tree
  })
  let sealed = false
  try {
    for (let attempt = 1; ; attempt += 1) {
      checkCancelled(signal)
      if (attempt > sealAfterAttempts) {
        await seal(ports, id)
        sealed = true
      }
      const open = await openTrees.current(id, lease, signal)
      if (open === undefined) {
        await openCommit(ports, repo, id)
        continue
      }
      const [conflict] = open.conflicts
      if (conflict !== undefined)
        throw new FileDirectoryConflictError(conflict.path, conflict.obstacle)
      const finished = await tryFinish(ports, { repo, id, open, parentTree })
      if (finished === undefined) continue
      sealed = false
      openTrees.forget(id)
      await sweepCommit(ports.database, id, signal)
      return finished
    }
  } finally {
    if (sealed) await unseal(ports, id)
  }
}

/** @throws {CommitFinishedError} */
async function openCommit(ports: VersioningPorts, repo: string, name: string): Promise<OpenCommit> {
  const commit = await ports.database.read((tx) => getCommit(tx, repo, name))
  if (commit.state.kind === 'finished') throw new CommitFinishedError(repo, commit.id, 'finish')
  return { ...commit, state: commit.state }
}

async function treeOf(
  ports: VersioningPorts,
  repo: string,
  commit: CommitId | undefined,
): Promise<CommitTree | undefined> {
  if (commit === undefined) return undefined
  const { state } = await ports.database.read((tx) => getCommit(tx, repo, commit))
  return state.kind === 'finished' ? state.tree : undefined
}

interface Attempt {
  readonly repo: string
  readonly id: CommitId
  readonly open: OpenTree
  readonly parentTree: CommitTree | undefined
}

/** Undefined when a put has come between. */
async function tryFinish(
  ports: VersioningPorts,
  attempt: Attempt,
): Promise<CommitInfo | undefined> {
  const { repo, id, open } = attempt
  const addedBytes = await changedBytes(ports, attempt.parentTree, open.tree)
  await ports.chunks.flush()
  const finishedAt = ports.clock.now()
  return ports.database.transact(async (tx) => {
    const commit = await getCommit(tx, repo, id)
    if (commit.state.kind === 'finished') throw new CommitFinishedError(repo, id, 'finish')
    if ((await lastStaged(tx, id)) !== open.sequence) return undefined
    await setFinished(tx, commit, { finishedAt, tree: open.tree, addedBytes })
    if (open.sequence <= deletedAtOnceMax) {
      await tx.run('DELETE FROM staged_writes WHERE id = ?', id)
    }
    const heads = await branchesAt(tx, id)
    if (heads.length > 0) {
      await ports.onHeadReady(
        tx,
        heads.map((head) => ({ repo: head.repo, branch: head.name, id })),
      )
    }
    return getCommit(tx, repo, id)
  })
}

async function lastStaged(tx: Transaction, id: CommitId): Promise<number | undefined> {
  const row = await tx.get<{ readonly staged_last: number }>(
    'SELECT staged_last FROM commits WHERE id = ?',
    id,
  )
  return row?.staged_last
}

/** The full new sizes of the files that a commit adds or changes. */
async function changedBytes(
  ports: VersioningPorts,
  before: CommitTree | undefined,
  after: DirectoryEntry,
): Promise<number> {
  if (before === undefined || before.fileCount === 0) return after.sizeBytes
  if (before.root === after.root) return 0
  let bytes = 0
  for await (const { after: entry } of ports.trees.diff(treeEntry(before), after)) {
    if (entry?.kind === 'file') bytes += contentSizeBytes(entry.content)
  }
  return bytes
}

async function seal(ports: VersioningPorts, id: CommitId): Promise<void> {
  const until = ports.clock.now() + sealMicros
  await ports.database.transact((tx) =>
    tx.run('UPDATE commits SET sealed_until = ? WHERE id = ?', until, id),
  )
}

async function unseal(ports: VersioningPorts, id: CommitId): Promise<void> {
  await ports.database.transact((tx) =>
    tx.run('UPDATE commits SET sealed_until = 0 WHERE id = ?', id),
  )
}
