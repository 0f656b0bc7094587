import type { Instant } from '../../base/clock.ts'
import { assert, DomainError, InvalidArgumentError } from '../../base/errors.ts'
import type { CommitId } from '../../base/names.ts'
import { parseFilePath, rootPath } from '../../base/paths.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import {
  branchesAt,
  type BranchInfo,
  dropBranch,
  findBranch,
  setBranch,
  setHead,
} from '../branches.ts'
import { type CommitInfo, findCommit, getCommit, insertFinishedCommit } from '../commit-records.ts'
import { deleteCommitTag, setCommitTag } from '../commit-tags.ts'
import { deleteCommit, startCommit } from '../commits.ts'
import { requireCopyable } from '../copies.ts'
import { branchOf, finished, ownBranch, requireUndoable } from '../commits/branch-sides.ts'
import { deletedAtOnceMax, finishBuilt, lastStaged } from '../commits/finish-steps.ts'
import { CommitFinishedError } from '../errors.ts'
import { parseCommitMessage } from '../records/commit-messages.ts'
import { nearCommonAncestor } from '../records/commit-parents.ts'
import {
  type CopyOperation,
  makesCommit,
  type MakingOperation,
  type Operation,
  type PutOperation,
  type Step,
  type StepResult,
} from '../operations.ts'
import type { CommitUses, OnHeadReady, ReadyHead } from '../ports.ts'
import { createOrUpdateRepo, deleteRepo, getRepo } from '../repos.ts'
import { appendStaged, requireOpen } from '../staging/stage.ts'
import { encodeStaged, type StagedColumns } from '../staging/staged-rows.ts'
import { OperationFailedError } from './transaction-errors.ts'
import {
  type BuiltCommits,
  builtCopy,
  builtFinish,
  builtMerge,
  notStarted,
  type PlannedBuild,
  type PlannedMerge,
  type PlannedOpen,
} from './planned-builds.ts'

/**
 * One run through the operations of a transaction, in one database transaction. Without `built`, it
 * is a plan: it finds what each tree needs that is to be built, and must be rolled back.
 */
export class Batch {
  readonly results: (StepResult | undefined)[] = []
  readonly builds: PlannedBuild[] = []
  /** Commits whose staged writes nobody needs any more. */
  readonly ended: CommitId[] = []
  readonly #tx: Transaction
  readonly #at: Instant
  readonly #uses: CommitUses
  readonly #built: BuiltCommits | undefined
  readonly #started = new Set<CommitId>()
  readonly #ownWrites = new Map<CommitId, number[]>()
  /** Branches of which a finished commit has become the head, the latest last. */
  readonly #branches = new Map<string, Pick<ReadyHead, 'repo' | 'branch'>>()
  #deletableCount = deletedAtOnceMax

  constructor(
    tx: Transaction,
    {
      at,
      uses,
      built,
    }: {
      readonly at: Instant
      readonly uses: CommitUses
      readonly built?: BuiltCommits
    },
  ) {
    this.#tx = tx
    this.#at = at
    this.#uses = uses
    this.#built = built
  }

  /**
   * @throws {OperationFailedError}
   * @throws {OutrunError}
   */
  async apply(steps: readonly Step[]): Promise<void> {
    for (const [index, step] of steps.entries()) {
      try {
        this.results.push(await this.#apply(step, index))
      } catch (error) {
        if (!(error instanceof DomainError)) throw error
        throw new OperationFailedError(step.operation, { index, count: steps.length }, error)
      }
    }
  }

  /** The branches that have come by a finished head, with the heads that they have in the end. */
  async readyHeads(): Promise<readonly ReadyHead[]> {
    const heads: ReadyHead[] = []
    for (const { repo, branch } of this.#branches.values()) {
      const found = await findBranch(this.#tx, repo, branch)
      if (found === undefined) continue
      const commit = await findCommit(this.#tx, repo, found.head)
      if (commit?.state.kind === 'finished') heads.push({ repo, branch, id: commit.id })
    }
    return heads
  }

  async #apply({ operation, id }: Step, index: number): Promise<StepResult | undefined> {
    if (operation.kind === 'finish-commit') return this.#finish(operation, index)
    if (!makesCommit(operation)) {
      await this.#change(operation, index)
      return undefined
    }
    assert(id !== undefined, 'a commit that is to be made has its id')
    if (operation.kind === 'merge-branch') return this.#merge(operation, { id, index })
    if (operation.kind === 'revert-commit') return this.#revert(operation, { id, index })
    this.#started.add(id)
    const commit = { ...operation, id, startedAt: this.#at }
    return startCommit(this.#tx, this.#noteHeads, commit)
  }

  async #merge(
    operation: Extract<Operation, { readonly kind: 'merge-branch' }>,
    made: MadeCommit,
  ): Promise<StepResult> {
    const tx = this.#tx
    const { repo, from, into, prefer } = operation
    await getRepo(tx, repo)
    const { branch, ours } = await ownBranch(tx, this.#uses, { repo, name: into })
    const theirs = finished(await getCommit(tx, repo, from), 'merged')
    const base = await nearCommonAncestor(tx, ours.id, theirs.id)
    if (base === theirs.id) return { repo: branch.repo, id: ours.id }
    if (base === ours.id) {
      await setHead(tx, this.#noteHeads, { ...branch, head: theirs.id })
      return { repo: branch.repo, id: theirs.id }
    }
    const sides = { base, ours: ours.id, theirs: theirs.id, prefer }
    const plan = { ...made, ...sides, isRevert: false }
    return this.#commitMerged(branch, plan, { ...operation, mergeParent: theirs.id })
  }

  async #revert(
    operation: Extract<Operation, { readonly kind: 'revert-commit' }>,
    made: MadeCommit,
  ): Promise<StepResult> {
    const tx = this.#tx
    const { repo, commit, prefer } = operation
    const found = await getCommit(tx, repo, commit)
    const name = operation.branch ?? (await branchOf(tx, repo, commit))
    const { branch, ours } = await ownBranch(tx, this.#uses, { repo, name })
    const undone = finished(found, 'reverted')
    requireUndoable(branch, undone.id, await nearCommonAncestor(tx, ours.id, undone.id))
    const sides = { base: undone.id, ours: ours.id, theirs: undone.parent, prefer }
    const plan = { ...made, ...sides, isRevert: true }
    return this.#commitMerged(branch, plan, operation)
  }

  async #commitMerged(
    branch: BranchInfo,
    planned: Omit<PlannedMerge, 'kind' | 'repo'>,
    { message, mergeParent }: { readonly message: string; readonly mergeParent?: CommitId },
  ): Promise<StepResult> {
    const plan = { kind: 'merge' as const, repo: branch.repo, ...planned }
    this.builds.push(plan)
    const { repo, id, ours } = plan
    await insertFinishedCommit(this.#tx, {
      repo,
      id,
      parent: ours,
      provenance: [],
      startedAt: this.#at,
      finishedAt: this.#at,
      ...builtMerge(this.#built, plan),
      message: parseCommitMessage(message),
      ...(mergeParent !== undefined && { mergeParents: [mergeParent] }),
    })
    await setHead(this.#tx, this.#noteHeads, { ...branch, head: id })
    return { repo, id }
  }

  async #change(
    operation: Exclude<Operation, MakingOperation | { readonly kind: 'finish-commit' }>,
    index: number,
  ): Promise<void> {
    const tx = this.#tx
    switch (operation.kind) {
      case 'create-repo':
        await createOrUpdateRepo(tx, this.#uses, { ...operation, createdAt: this.#at })
        return
      case 'delete-repo':
        await deleteRepo(tx, this.#uses, operation)
        return
      case 'set-branch':
        await setBranch(tx, this.#noteHeads, operation)
        return
      case 'delete-branch':
        await dropBranch(tx, operation.repo, operation.branch)
        return
      case 'delete-commit': {
        const { repo, commit } = operation
        this.ended.push(await deleteCommit(tx, this.#noteHeads, repo, commit))
        return
      }
      case 'tag-commit':
        await setCommitTag(tx, { ...operation, taggedAt: this.#at })
        return
      case 'delete-commit-tag':
        await deleteCommitTag(tx, operation.repo, operation.tag)
        return
      case 'delete-file':
      case 'put-file':
        await this.#stage(operation, index)
        return
      case 'copy-file':
      case 'move-file':
        await this.#copy(operation, index)
        return
      default:
        operation satisfies never
    }
  }

  async #stage(operation: StagedOperation, index: number): Promise<void> {
    const { repo, commit: name } = operation
    const call = operation.kind === 'put-file' ? 'put' : 'delete'
    // A seal does not hold it up: own writes are counted before they are made.
    const row = await requireOpen(this.#tx, { repo, name, call })
    await this.#append(row, columnsOf(operation), index)
  }

  async #copy(operation: CopyOperation, index: number): Promise<void> {
    const tx = this.#tx
    const { repo, commit, to, mode } = operation
    const row = await requireOpen(tx, { repo: to.repo, name: to.commit, call: 'put' })
    const source = await getCommit(tx, repo, commit)
    const moves = operation.kind === 'move-file'
    const toPath = parseFilePath(to.path)
    const fromPath = parseFilePath(operation.path)
    const from = { repo: source.repo, id: source.id, path: fromPath }
    const isFinished = source.state.kind === 'finished'
    requireCopyable({ ...from, isFinished }, { id: row.id, path: toPath }, moves)
    const plan = {
      kind: 'copy' as const,
      index,
      moves,
      from: isFinished
        ? { commit: { repo: source.repo, id: source.id } }
        : await this.#plannedOpen(source),
      fromPath,
      to: await this.#plannedOpen(await getCommit(tx, to.repo, row.id)),
      toPath,
      mode,
    }
    this.builds.push(plan)
    for (const [id, columns] of builtCopy(this.#built, plan)) {
      const changed =
        id === row.id ? row : await requireOpen(tx, { repo, name: id, call: 'delete' })
      await this.#append(changed, columns, index)
    }
  }

  async #append(
    row: Parameters<typeof appendStaged>[1],
    columns: StagedColumns,
    index: number,
  ): Promise<void> {
    const { id } = await appendStaged(this.#tx, row, columns)
    this.#ownWrites.set(id, [...(this.#ownWrites.get(id) ?? []), index])
  }

  async #plannedOpen({ repo, id, parent }: CommitInfo): Promise<PlannedOpen> {
    const ownWrites = this.#ownWrites.get(id) ?? []
    const staged = (await lastStaged(this.#tx, id)) ?? 0
    const stagedBefore = this.#started.has(id) ? notStarted : staged - ownWrites.length
    return { commit: { repo, id }, parent, stagedBefore, ownWrites }
  }

  async #finish(
    operation: Extract<Operation, { readonly kind: 'finish-commit' }>,
    index: number,
  ): Promise<StepResult> {
    const tx = this.#tx
    const commit = await getCommit(tx, operation.repo, operation.commit)
    if (commit.state.kind === 'finished') {
      throw new CommitFinishedError(commit.repo, commit.id, 'finish')
    }
    const { repo, id } = commit
    const plan = { kind: 'finish' as const, index, ...(await this.#plannedOpen(commit)) }
    this.builds.push(plan)
    const staged = (await lastStaged(tx, id)) ?? 0
    const deletesStaged = staged <= this.#deletableCount
    if (deletesStaged) this.#deletableCount -= staged
    await finishBuilt(tx, commit, builtFinish(this.#built, plan), {
      finishedAt: this.#at,
      message: parseCommitMessage(operation.message ?? ''),
      deletesStaged,
    })
    this.ended.push(id)
    const heads = await branchesAt(tx, id)
    await this.#noteHeads(
      tx,
      heads.map((head) => ({ repo: head.repo, branch: head.name, id })),
    )
    return { repo, id }
  }

  readonly #noteHeads: OnHeadReady = async (
    _tx: ReadTransaction,
    heads: readonly ReadyHead[],
  ): Promise<void> => {
    for (const { repo, branch } of heads) {
      const key = `${repo}/${branch}`
      this.#branches.delete(key)
      this.#branches.set(key, { repo, branch })
    }
  }
}

/** A commit that an operation makes. */
type MadeCommit = Pick<PlannedMerge, 'id' | 'index'>

type StagedOperation = PutOperation | Extract<Operation, { readonly kind: 'delete-file' }>

/** What a put or a deletion stages. */
export function columnsOf(operation: StagedOperation): StagedColumns {
  const path = parseFilePath(operation.path)
  if (operation.kind === 'delete-file') return encodeStaged({ kind: 'delete', path })
  if (path === rootPath)
    throw new InvalidArgumentError('cannot put a file at the root: name it, as in /file')
  const { bytes, overwrite } = operation
  return encodeStaged({ kind: 'put', path, overwrite, value: { kind: 'bytes', bytes } })
}
