import type { Instant } from '../../base/clock.ts'
import { assert, DomainError, InvalidArgumentError } from '../../base/errors.ts'
import type { CommitId } from '../../base/names.ts'
import { parseFilePath, rootPath } from '../../base/paths.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import type { TreeRoot } from '../../storage/file-trees.ts'
import { branchesAt, deleteBranch, findBranch, setBranch } from '../branches.ts'
import { findCommit, getCommit } from '../commit-records.ts'
import { deleteCommit, startCommit } from '../commits.ts'
import {
  type BuiltCommit,
  deletedAtOnceMax,
  finishBuilt,
  lastStaged,
} from '../commits/finish-steps.ts'
import { CommitFinishedError } from '../errors.ts'
import { parseCommitMessage } from '../records/commit-messages.ts'
import type { Operation, PutOperation, Step, StepResult } from '../operations.ts'
import type { CommitName, CommitUses, OnHeadReady, ReadyHead } from '../ports.ts'
import { createOrUpdateRepo, deleteRepo } from '../repos.ts'
import { appendStaged, requireOpen } from '../staging/stage.ts'
import { encodeStaged, type StagedColumns } from '../staging/staged-rows.ts'
import { OperationFailedError } from '../transaction-errors.ts'

/** A finish, and all that its tree depends on: where these are the same, the tree is. */
export interface PlannedFinish {
  /** Of the operation. */
  readonly index: number
  readonly commit: CommitName
  readonly parent: CommitId | undefined
  /** The last write that was staged before the transaction, or `notStarted`. */
  readonly stagedBefore: number
  /** Operations of the transaction that stage writes to it, before its finish. */
  readonly ownWrites: readonly number[]
}

/** The transaction itself starts the commit. */
const notStarted = -1

export function isStartedByPlan({ stagedBefore }: PlannedFinish): boolean {
  return stagedBefore === notStarted
}

/** The built commits, by the index of the operation that finishes them. */
export type BuiltFinishes = ReadonlyMap<
  number,
  { readonly plan: PlannedFinish; readonly built: BuiltCommit }
>

/** Something has changed since the trees were built: plan and build again. */
export class OutrunError extends Error {
  override readonly name = 'OutrunError'
}

/** Never stored: where a plan needs a root, which is known only when the tree has been built. */
const plannedTree = { root: 'planned' as TreeRoot, sizeBytes: 0, fileCount: 0 } as const

/**
 * One run through the operations of a transaction, in one database transaction. Without `built`, it
 * is a plan: it finds what each finish needs, and must be rolled back.
 */
export class Batch {
  readonly results: (StepResult | undefined)[] = []
  readonly finishes: PlannedFinish[] = []
  /** Commits whose staged writes nobody needs any more. */
  readonly ended: CommitId[] = []
  readonly #tx: Transaction
  readonly #at: Instant
  readonly #uses: CommitUses
  readonly #built: BuiltFinishes | undefined
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
      readonly built?: BuiltFinishes
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
    if (operation.kind !== 'start-commit') {
      await this.#change(operation, index)
      return undefined
    }
    assert(id !== undefined, 'a commit that is to be started has its id')
    this.#started.add(id)
    const commit = { ...operation, id, startedAt: this.#at }
    return startCommit(this.#tx, this.#noteHeads, commit)
  }

  async #change(
    operation: Exclude<Operation, { readonly kind: 'start-commit' | 'finish-commit' }>,
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
        await deleteBranch(tx, operation.repo, operation.branch)
        return
      case 'delete-commit': {
        const { repo, commit } = operation
        this.ended.push(await deleteCommit(tx, this.#noteHeads, repo, commit))
        return
      }
      case 'delete-file':
      case 'put-file':
        await this.#stage(operation, index)
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
    const { id } = await appendStaged(this.#tx, row, columnsOf(operation))
    this.#ownWrites.set(id, [...(this.#ownWrites.get(id) ?? []), index])
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
    const { repo, id, parent } = commit
    const ownWrites = this.#ownWrites.get(id) ?? []
    const staged = (await lastStaged(tx, id)) ?? 0
    const stagedBefore = this.#started.has(id) ? notStarted : staged - ownWrites.length
    const plan = { index, commit: { repo, id }, parent, stagedBefore, ownWrites }
    this.finishes.push(plan)
    const deletesStaged = staged <= this.#deletableCount
    if (deletesStaged) this.#deletableCount -= staged
    const built = this.#builtFor(plan)
    await finishBuilt(tx, commit, built, {
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

  #builtFor(plan: PlannedFinish): BuiltCommit {
    if (this.#built === undefined) {
      const tree = { kind: 'directory' as const, ...plannedTree }
      return { open: { sequence: 0, tree, conflicts: [] }, addedBytes: 0 }
    }
    const found = this.#built.get(plan.index)
    if (found === undefined || !isSame(found.plan, plan)) {
      throw new OutrunError(`commit ${plan.commit.id} has changed since it was built`)
    }
    return found.built
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

type StagedOperation = PutOperation | Extract<Operation, { readonly kind: 'delete-file' }>

/** What a put or a deletion stages. */
export function columnsOf(operation: StagedOperation): StagedColumns {
  const path = parseFilePath(operation.path)
  if (operation.kind === 'delete-file') return encodeStaged({ kind: 'delete', path })
  if (path === rootPath) throw new InvalidArgumentError('cannot put a file at the root')
  const { bytes, overwrite } = operation
  return encodeStaged({ kind: 'put', path, overwrite, value: { kind: 'bytes', bytes } })
}

function isSame(left: PlannedFinish, right: PlannedFinish): boolean {
  return (
    left.commit.id === right.commit.id &&
    left.parent === right.parent &&
    left.stagedBefore === right.stagedBefore &&
    left.ownWrites.length === right.ownWrites.length &&
    left.ownWrites.every((index, at) => index === right.ownWrites[at])
  )
}
