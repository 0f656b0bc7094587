import type { CommitId } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { findBranch } from '../../versioning/branches.ts'
import { findCommit, type CommitInfo } from '../../versioning/commit-records.ts'
import type { AtomInput } from '../inputs.ts'

/**
 * The head of an input branch or, while that is open, the nearest commit before it. Undefined when
 * the branch holds no finished commit.
 */
export async function finishedHead(
  tx: ReadTransaction,
  { repo, branch }: Pick<AtomInput, 'repo' | 'branch'>,
): Promise<CommitInfo | undefined> {
  const open = new Set<CommitId>()
  let next: CommitId | undefined = (await findBranch(tx, repo, branch))?.head
  while (next !== undefined && !open.has(next)) {
    open.add(next)
    const commit: CommitInfo | undefined = await findCommit(tx, repo, next)
    if (commit?.state.kind === 'finished') return commit
    next = commit?.parent
  }
  return undefined
}
