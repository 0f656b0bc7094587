import type { CommitId } from '../../base/names.ts'
import { branchesAt } from '../branches.ts'
import { type CommitInfo, getCommit } from '../commit-records.ts'
import { CommitFinishedError } from '../errors.ts'
import type { VersioningPorts } from '../ports.ts'
import { checkCancelled } from '../records/cancellation.ts'
import type { OpenTrees } from '../staging/open-trees.ts'
import { sweepCommit } from '../staging/sweep.ts'
import {
  type BuiltCommit,
  builtCommit,
  deletedAtOnceMax,
  finishBuilt,
  lastStaged,
  seal,
  sealAfterAttempts,
  treeOf,
  unseal,
} from './finish-steps.ts'

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
    /** Empty: what was said at the start stays. */
    readonly message: string
    readonly signal: AbortSignal | undefined
  },
): Promise<CommitInfo> {
  const { repo, commit, message, signal } = options
  using lease = ports.leases.begin()
  const { id, parent } = await openCommit(ports, repo, commit)
  const parentTree = await treeOf(ports, lease, repo, parent)
  let sealed = false
  try {
    for (let attempt = 1; ; attempt += 1) {
      checkCancelled(signal)
      if (attempt > sealAfterAttempts) {
        await seal(ports, [id])
        sealed = true
      }
      const open = await openTrees.current(id, lease, signal)
      if (open === undefined) {
        await openCommit(ports, repo, id)
        continue
      }
      const built = await builtCommit(ports, open, parentTree, signal)
      const finished = await tryFinish(ports, { repo, id, built, message })
      if (finished === undefined) continue
      sealed = false
      openTrees.forget(id)
      await sweepCommit(ports.database, id, signal)
      return finished
    }
  } finally {
    if (sealed) await unseal(ports, [id])
  }
}

/** @throws {CommitFinishedError} */
async function openCommit(ports: VersioningPorts, repo: string, name: string): Promise<OpenCommit> {
  const commit = await ports.database.read((tx) => getCommit(tx, repo, name))
  if (commit.state.kind === 'finished') throw new CommitFinishedError(repo, commit.id, 'finish')
  return { ...commit, state: commit.state }
}

/** Undefined when a put has come between. */
async function tryFinish(
  ports: VersioningPorts,
  attempt: {
    readonly repo: string
    readonly id: CommitId
    readonly built: BuiltCommit
    readonly message: string
  },
): Promise<CommitInfo | undefined> {
  const { repo, id, built, message } = attempt
  await ports.chunks.flush()
  const finishedAt = ports.clock.now()
  return ports.database.transact(async (tx) => {
    const commit = await getCommit(tx, repo, id)
    if (commit.state.kind === 'finished') throw new CommitFinishedError(repo, id, 'finish')
    const { sequence } = built.open
    if ((await lastStaged(tx, id)) !== sequence) return undefined
    const deletesStaged = sequence <= deletedAtOnceMax
    await finishBuilt(tx, commit, built, { finishedAt, message, deletesStaged })
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
