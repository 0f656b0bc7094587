import type { Instant } from '../../base/clock.ts'
import type { CommitId } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import type { Lease } from '../../storage/leases.ts'
import { type CommitTree, getCommit, setFinished } from '../commit-records.ts'
import type { CommitName, VersioningPorts } from '../ports.ts'
import { conflictError } from '../staging/conflicts.ts'
import type { OpenTree } from '../staging/open-trees.ts'
import { sealMicros } from '../staging/stage.ts'
import { treeChange } from './tree-changes.ts'

/** Builds that puts may outrun before they are made to wait. */
export const sealAfterAttempts = 3
/** Staged writes that are deleted in the transaction that finishes; more are swept after it. */
export const deletedAtOnceMax = 2000

/** What a commit becomes, built before the transaction that finishes it. */
export interface BuiltCommit {
  readonly open: OpenTree
  /** The full new sizes of the files that it adds or changes. */
  readonly addedBytes: number
}

/** @throws {FileDirectoryConflictError} when a put was left out of the tree. */
export async function builtCommit(
  ports: VersioningPorts,
  open: OpenTree,
  parent: CommitTree | undefined,
  signal: AbortSignal | undefined,
): Promise<BuiltCommit> {
  const [conflict] = open.conflicts
  if (conflict !== undefined) throw conflictError(conflict, 'finish')
  const { addedBytes } = await treeChange(ports.trees, parent, open.tree, signal)
  return { open, addedBytes }
}

/**
 * Finishes a commit that the caller has found open, with nothing staged since it was built, and
 * whose chunks are durable. Heads are not announced.
 */
export async function finishBuilt(
  tx: Transaction,
  commit: CommitName,
  { open, addedBytes }: BuiltCommit,
  options: {
    readonly finishedAt: Instant
    /** Empty: what was said at the start stays. */
    readonly message: string
    readonly deletesStaged: boolean
  },
): Promise<void> {
  const { finishedAt, message } = options
  await setFinished(tx, commit, { finishedAt, tree: open.tree, addedBytes, message })
  if (options.deletesStaged) await tx.run('DELETE FROM staged_writes WHERE id = ?', commit.id)
}

/** The number of the last write that was staged; undefined when there is no such commit. */
export async function lastStaged(tx: ReadTransaction, id: CommitId): Promise<number | undefined> {
  const row = await tx.get<{ readonly staged_last: number }>(
    'SELECT staged_last FROM commits WHERE id = ?',
    id,
  )
  return row?.staged_last
}

/** The tree of a finished commit, which `lease` holds; undefined for none. */
export async function treeOf(
  ports: VersioningPorts,
  lease: Lease,
  repo: string,
  commit: CommitId | undefined,
): Promise<CommitTree | undefined> {
  if (commit === undefined) return undefined
  return await lease.acquire(async () => {
    const { state } = await ports.database.read((tx) => getCommit(tx, repo, commit))
    if (state.kind === 'open') return undefined
    lease.hold({ kind: 'tree', root: state.tree.root })
    return state.tree
  })
}

/** Makes puts to open commits wait, so that the next build is not outrun. */
export async function seal(ports: VersioningPorts, ids: readonly CommitId[]): Promise<void> {
  await setSeals(ports, ids, ports.clock.now() + sealMicros)
}

export async function unseal(ports: VersioningPorts, ids: readonly CommitId[]): Promise<void> {
  await setSeals(ports, ids, 0)
}

async function setSeals(
  ports: VersioningPorts,
  ids: readonly CommitId[],
  until: Instant,
): Promise<void> {
  await ports.database.transact(async (tx) => {
    for (const id of ids)
      await tx.run('UPDATE commits SET sealed_until = ? WHERE id = ?', until, id)
  })
}
