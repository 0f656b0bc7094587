import { FailedPreconditionError, InvalidArgumentError, NotFoundError } from '../../base/errors.ts'
import type { CommitId } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { type BranchInfo, findBranch } from '../branches.ts'
import { type CommitInfo, type CommitTree, getCommit } from '../commit-records.ts'
import type { CommitUses } from '../ports.ts'

/** Which side wins where both changed a path differently. */
export type Preference = 'ours' | 'theirs' | undefined

export type Finished = CommitInfo & { readonly tree: CommitTree }

/**
 * A branch that people write, with its head.
 *
 * @throws {NotFoundError} @throws {FailedPreconditionError} for an open head, or a branch that a
 * pipeline writes.
 */
export async function ownBranch(
  tx: ReadTransaction,
  uses: CommitUses,
  { repo, name }: { readonly repo: string; readonly name: string },
): Promise<{ readonly branch: BranchInfo; readonly ours: Finished }> {
  const branch = await findBranch(tx, repo, name)
  if (branch === undefined) {
    throw new NotFoundError(
      `branch ${name} not found in repo ${repo}: list-branch shows the branches that there are, and set-branch makes one`,
    )
  }
  const writer = await uses.writerOf(tx, repo, name)
  if (writer !== undefined) {
    throw new FailedPreconditionError(
      `branch ${name} of ${repo} is written by pipeline ${writer}, whose next job would not know of the change: change the pipeline's input instead, or make a branch of your own with set-branch`,
    )
  }
  return { branch, ours: finished(await getCommit(tx, repo, branch.head), 'changed') }
}

/** @throws {FailedPreconditionError} unless the branch leads back to the commit. */
export function requireUndoable(
  branch: BranchInfo,
  undone: CommitId,
  ancestor: CommitId | undefined,
): void {
  if (ancestor === undone) return
  throw new FailedPreconditionError(
    `branch ${branch.name} does not have commit ${undone} in its history, so that it cannot undo it`,
  )
}

/** @throws {FailedPreconditionError} for an open commit. */
export function finished(commit: CommitInfo, verb: string): Finished {
  const { state } = commit
  if (state.kind === 'finished') return { ...commit, tree: state.tree }
  const { repo, id } = commit
  throw new FailedPreconditionError(
    `commit ${repo}/${id} is open and cannot be ${verb} yet: finish it with finish-commit first, or drop it with delete-commit`,
  )
}

/** The branch that is meant when none is named. */
export async function branchOf(tx: ReadTransaction, repo: string, commit: string): Promise<string> {
  if ((await findBranch(tx, repo, commit)) !== undefined) return commit
  const branches = await tx.all<{ readonly name: string }>(
    'SELECT name FROM branches WHERE repo = ? ORDER BY name LIMIT 2',
    repo,
  )
  const [only, another] = branches
  if (only !== undefined && another === undefined) return only.name
  throw new InvalidArgumentError(
    only === undefined
      ? `repo ${repo} has no branch that the commit could be undone on: make one with set-branch`
      : `repo ${repo} has several branches: say with --branch on which one the commit is to be undone`,
  )
}
