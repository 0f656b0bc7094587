import { addBytes } from '../base/byte-sums.ts'
import { FailedPreconditionError } from '../base/errors.ts'
import type { CommitId, RepoName } from '../base/names.ts'
import type { ReadTransaction, Transaction } from '../database/database.ts'
import { findBranch } from './branches.ts'
import { commitTopic, repoTopic } from './ports.ts'
import { findCommitTag, type CommitTagRow } from './records/commit-tag-rows.ts'
import { isInRepo } from './records/deleted-repos.ts'
import { growRepoSize, shrinkRepoSize } from './records/repo-sizes.ts'
import { nextWritten } from './records/write-sequence.ts'

type MovedRow = {
  readonly id: CommitId
  readonly parent: CommitId | null
  readonly added_bytes: number | null
}

/** A commit that is moved, and what the line that ends with it goes on from. */
export interface MovedHead {
  readonly head: CommitId
  readonly onto: CommitId | undefined
}

/**
 * Makes the finished commits of a repo, with their tags, those of another. Each keeps its id, what it
 * is made from and what is made from it; where a line begins it goes on from `onto`, but the line of
 * one of the `heads` from what that has. Branches stay where they are.
 *
 * @throws {FailedPreconditionError} when a tag has a name that the other repo has given.
 */
export async function moveCommits(
  tx: Transaction,
  {
    from,
    to,
    onto,
    heads = [],
  }: {
    readonly from: RepoName
    readonly to: RepoName
    readonly onto: CommitId | undefined
    readonly heads?: readonly MovedHead[]
  },
): Promise<void> {
  // In their order, which the new numbers keep: a commit is written after its parents.
  const moved = await tx.all<MovedRow>(
    `SELECT id, parent, added_bytes FROM commits WHERE repo = ? AND ${isInRepo} ORDER BY written`,
    from,
  )
  const beginnings = beginningsOf(moved, heads)
  let addedBytes = 0
  for (const { id, parent, added_bytes: added } of moved) {
    addedBytes = addBytes(addedBytes, added ?? 0)
    await tx.run(
      'UPDATE commits SET repo = ?, parent = ?, written = ? WHERE id = ?',
      to,
      parent ?? (beginnings.has(id) ? beginnings.get(id) : onto) ?? null,
      await nextWritten(tx),
      id,
    )
    await tx.run('UPDATE commit_provenance SET ancestor_repo = ? WHERE ancestor = ?', to, id)
    await tx.emit(commitTopic, `${from}/${id}`)
    await tx.emit(commitTopic, `${to}/${id}`)
  }
  await moveTags(tx, from, to)
  await shrinkRepoSize(tx, from, addedBytes)
  await growRepoSize(tx, to, { addedBytes, written: await nextWritten(tx) })
  await tx.emit(repoTopic, to)
}

/** The first commit of the line of each head, and what it goes on from. */
function beginningsOf(
  moved: readonly MovedRow[],
  heads: readonly MovedHead[],
): ReadonlyMap<CommitId, CommitId | undefined> {
  const parents = new Map(moved.map(({ id, parent }) => [id, parent]))
  return new Map(
    heads.map(({ head, onto }) => {
      let first = head
      for (let next = parents.get(first); next; next = parents.get(next)) first = next
      return [first, onto]
    }),
  )
}

async function moveTags(tx: Transaction, from: RepoName, to: RepoName): Promise<void> {
  const tags = await tx.all<Pick<CommitTagRow, 'name'>>(
    'SELECT name FROM commit_tags WHERE repo = ?',
    from,
  )
  for (const { name } of tags) {
    const isTaken =
      (await findCommitTag(tx, to, name)) !== undefined ||
      (await findBranch(tx, to, name)) !== undefined
    if (!isTaken) continue
    throw new FailedPreconditionError(
      `commit tag ${name} of repo ${from} cannot come to repo ${to}, which has a tag or branch of that name: use delete-commit-tag ${from} ${name} first`,
    )
  }
  await tx.run('UPDATE commit_tags SET repo = ? WHERE repo = ?', to, from)
}

/** One of the open commits of a repo; undefined when there is none. */
export async function openCommitOf(
  tx: ReadTransaction,
  repo: string,
): Promise<CommitId | undefined> {
  const row = await tx.get<{ readonly id: CommitId }>(
    `SELECT id FROM commits WHERE repo = ? AND ${isInRepo} AND finished_at IS NULL LIMIT 1`,
    repo,
  )
  return row?.id
}
