import type { RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import type { CommitName } from '../../versioning/ports.ts'
import { findRepo } from '../../versioning/repos.ts'

/** Of `commits`, those whose repos a repo is made from: only of these it has something to wait for. */
export async function commitsAbove(
  tx: ReadTransaction,
  repo: RepoName,
  commits: readonly CommitName[],
): Promise<readonly CommitName[]> {
  const provenance = (await findRepo(tx, repo))?.provenance ?? []
  return commits.filter((commit) => provenance.includes(commit.repo))
}
