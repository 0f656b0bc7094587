import { type BranchName, type CommitId, parseCommitId, type RepoName } from '../base/names.ts'
import { newHexId } from '../base/random.ts'
import type { ReadTransaction } from '../database/database.ts'
import type { Lease } from '../storage/leases.ts'
import type { TreeConflict } from '../storage/file-trees.ts'
import { type BranchInfo, findBranch, setHead } from './branches.ts'
import { type CommitTree, findCommit, getCommit, insertFinishedCommit } from './commit-records.ts'
import {
  branchOf,
  type Finished,
  finished,
  ownBranch,
  type Preference,
  requireUndoable,
} from './commits/branch-sides.ts'
import { type FileCounts, mergeTrees, noFiles, treeChange } from './commits/tree-changes.ts'
import { CommitBusyError } from './errors.ts'
import type { VersioningPorts } from './ports.ts'
import { parseCommitMessage } from './records/commit-messages.ts'
import { checkCancelled } from './records/cancellation.ts'
import { commonAncestor } from './records/commit-parents.ts'
import { requireCountable } from './records/tree-totals.ts'
import { getRepo } from './repos.ts'

export type { Preference } from './commits/branch-sides.ts'

export interface ChangeOptions {
  /** Kept with the commit that is made; at most 64 KiB. */
  readonly message: string
  /** Say what would be done, and do nothing. */
  readonly dryRun: boolean
  readonly prefer: Preference
  readonly signal?: AbortSignal
}

/** What became of a branch, or would. */
export interface BranchChange {
  /** `conflicted`: nothing is done, for there are conflicts and no preference. */
  readonly outcome: 'committed' | 'fast-forwarded' | 'unchanged' | 'conflicted'
  readonly repo: RepoName
  readonly branch: BranchName
  /** The branch's head afterwards; undefined where a dry run would make a commit. */
  readonly head: CommitId | undefined
  /** What both sides were compared with; undefined when they have nothing in common. */
  readonly base: CommitId | undefined
  readonly files: FileCounts
  /** The first 1,000 in path order, also where a preference decides them. */
  readonly conflicts: readonly TreeConflict[]
  readonly conflictCount: number
}

/** Tries to make the commit while its branch keeps moving. */
const attemptsMax = 5

/** A branch, and what is to be brought into it. */
interface Sides {
  readonly branch: BranchInfo
  readonly ours: Finished
  readonly theirs: CommitTree | undefined
  readonly base: { readonly id: CommitId | undefined; readonly tree: CommitTree | undefined }
  readonly mergeParent: CommitId | undefined
}

/**
 * Changes of whole branches, path by path. Files are whole: where both sides changed one
 * differently, that is a conflict.
 */
export class BranchChanges {
  readonly #ports: VersioningPorts

  constructor(ports: VersioningPorts) {
    this.#ports = ports
  }

  /**
   * Brings all that `from` (a branch, or a commit's id) has and the branch `into` has not into that,
   * as a commit of two parents; where `into` has nothing of its own, it moves to `from`.
   *
   * @throws {FailedPreconditionError} for an open commit on either side, or a branch that a pipeline
   * writes.
   * @throws {CommitBusyError} when the branch kept moving.
   */
  async merge(
    names: { readonly repo: string; readonly from: string; readonly into: string },
    options: ChangeOptions,
  ): Promise<BranchChange> {
    const { database, uses } = this.#ports
    return this.#try(options, async (lease) => {
      const { branch, ours, theirs } = await lease.acquire(async () => {
        const found = await database.read(async (tx) => {
          await getRepo(tx, names.repo)
          const into = await ownBranch(tx, uses, { repo: names.repo, name: names.into })
          const from = finished(await getCommit(tx, names.repo, names.from), 'merged')
          return { ...into, theirs: from }
        })
        holdTrees(lease, [found.ours, found.theirs])
        return found
      })
      const baseId = await commonAncestor(database, ours.id, theirs.id)
      if (baseId === theirs.id) return unchanged(branch, baseId)
      if (baseId === ours.id) return this.#fastForward(branch, ours, theirs, options)
      const base = { id: baseId, tree: await this.#treeOf(lease, names.repo, baseId) }
      const sides = { branch, ours, theirs: theirs.tree, base, mergeParent: theirs.id }
      return this.#commit(sides, options)
    })
  }

  /**
   * Makes a commit on `branch` that undoes what `commit` changed against its parent. Without
   * `branch`: the one that `commit` names, else the only one of the repo.
   *
   * @throws {FailedPreconditionError} as `merge`, and when the branch does not have the commit.
   */
  async revert(
    names: { readonly repo: string; readonly commit: string; readonly branch: string | undefined },
    options: ChangeOptions,
  ): Promise<BranchChange> {
    const { database, uses } = this.#ports
    return this.#try(options, async (lease) => {
      const { branch, ours, undone } = await lease.acquire(async () => {
        const found = await database.read(async (tx) => {
          const commit = await getCommit(tx, names.repo, names.commit)
          const name = names.branch ?? (await branchOf(tx, names.repo, names.commit))
          const of = await ownBranch(tx, uses, { repo: names.repo, name })
          return { ...of, undone: finished(commit, 'reverted') }
        })
        holdTrees(lease, [found.ours, found.undone])
        return found
      })
      requireUndoable(branch, undone.id, await commonAncestor(database, ours.id, undone.id))
      const base = { id: undone.id, tree: undone.tree }
      const theirs = await this.#treeOf(lease, names.repo, undone.parent)
      return this.#commit({ branch, ours, theirs, base, mergeParent: undefined }, options)
    })
  }

  /** Repeats `attempt` while it finds that the branch has moved meanwhile. */
  async #try(
    { message, signal }: ChangeOptions,
    attempt: (lease: Lease) => Promise<BranchChange | 'moved'>,
  ): Promise<BranchChange> {
    parseCommitMessage(message)
    for (let count = 0; count < attemptsMax; count += 1) {
      checkCancelled(signal)
      using lease = this.#ports.leases.begin()
      const change = await attempt(lease)
      if (change !== 'moved') return change
    }
    throw new CommitBusyError('the branch')
  }

  async #treeOf(
    lease: Lease,
    repo: string,
    id: CommitId | undefined,
  ): Promise<CommitTree | undefined> {
    if (id === undefined) return undefined
    return await lease.acquire(async () => {
      const commit = await this.#ports.database.read((tx) => getCommit(tx, repo, id))
      const compared = finished(commit, 'compared')
      holdTrees(lease, [compared])
      return compared.tree
    })
  }

  async #fastForward(
    branch: BranchInfo,
    ours: Finished,
    theirs: Finished,
    { dryRun, signal }: ChangeOptions,
  ): Promise<BranchChange | 'moved'> {
    const { database, onHeadReady, trees } = this.#ports
    const { files } = await treeChange(trees, ours.tree, theirs.tree, signal)
    if (!dryRun) {
      const isDone = await database.transact(async (tx) => {
        if (!(await this.#stands(tx, branch, theirs.id))) return false
        await setHead(tx, onHeadReady, { ...branch, head: theirs.id })
        return true
      })
      if (!isDone) return 'moved'
    }
    return { ...unchanged(branch, ours.id), outcome: 'fast-forwarded', head: theirs.id, files }
  }

  async #commit(
    { branch, ours, theirs, base, mergeParent }: Sides,
    { message, dryRun, prefer, signal }: ChangeOptions,
  ): Promise<BranchChange | 'moved'> {
    const { chunks, clock, database, onHeadReady, random, trees } = this.#ports
    const sides = { base: base.tree, ours: ours.tree, theirs, prefer }
    const merged = await mergeTrees(trees, sides, signal)
    const { conflicts, conflictCount, tree } = merged
    requireCountable(`branch ${branch.name} of ${branch.repo}`, tree)
    const { files, addedBytes } = await treeChange(trees, ours.tree, tree, signal)
    const change = { ...unchanged(branch, base.id), files, conflicts, conflictCount }
    if (conflictCount > 0 && prefer === undefined) {
      return { ...change, outcome: 'conflicted', files: noFiles }
    }
    // A merge is noted even where it changes nothing: the next one starts from there.
    if (tree.root === ours.tree.root && mergeParent === undefined) return change
    if (dryRun) return { ...change, outcome: 'committed', head: undefined }
    await chunks.flush()
    const id = parseCommitId(newHexId(random))
    const at = clock.now()
    const isDone = await database.transact(async (tx) => {
      if (!(await this.#stands(tx, branch, mergeParent ?? ours.id))) return false
      await insertFinishedCommit(tx, {
        repo: branch.repo,
        id,
        parent: ours.id,
        provenance: [],
        startedAt: at,
        finishedAt: at,
        tree,
        addedBytes,
        message,
        ...(mergeParent !== undefined && { mergeParents: [mergeParent] }),
      })
      await setHead(tx, onHeadReady, { ...branch, head: id })
      return true
    })
    return isDone ? { ...change, outcome: 'committed', head: id } : 'moved'
  }

  /** Whether the branch is where it was, still people's own, and the other commit there. */
  async #stands(tx: ReadTransaction, branch: BranchInfo, other: CommitId): Promise<boolean> {
    const { repo, name, head } = branch
    if ((await findBranch(tx, repo, name))?.head !== head) return false
    if ((await this.#ports.uses.writerOf(tx, repo, name)) !== undefined) return false
    return (await findCommit(tx, repo, other)) !== undefined
  }
}

/** Keeps what is merged, until the merge is a commit. */
function holdTrees(lease: Lease, commits: readonly Finished[]): void {
  for (const { tree } of commits) lease.hold({ kind: 'tree', root: tree.root })
}

function unchanged(branch: BranchInfo, base: CommitId | undefined): BranchChange {
  const { repo, name, head } = branch
  const nothing = { files: noFiles, conflicts: [], conflictCount: 0 }
  return { outcome: 'unchanged', repo, branch: name, head, base, ...nothing }
}
