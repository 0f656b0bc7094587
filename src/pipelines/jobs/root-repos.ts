import type { CommitId, RepoName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import type { CommitInfo } from '../../versioning/commit-records.ts'
import { findRepo } from '../../versioning/repos.ts'
import type { Candidate } from './alignment.ts'

/** Which repos are made from no others, as one transaction sees them; each is looked up once. */
export class RootRepos {
  readonly #tx: ReadTransaction
  readonly #isRoot = new Map<RepoName, boolean>()

  constructor(tx: ReadTransaction) {
    this.#tx = tx
  }

  /** The commits of root repos that a commit is made from. */
  async rootsOf(commit: CommitInfo): Promise<Candidate['roots']> {
    const roots = new Map<RepoName, Set<CommitId>>()
    for (const { repo, id } of [commit, ...commit.provenance]) {
      if (!(await this.#isRootRepo(repo))) continue
      roots.set(repo, (roots.get(repo) ?? new Set()).add(id))
    }
    return roots
  }

  async #isRootRepo(repo: RepoName): Promise<boolean> {
    const known = this.#isRoot.get(repo)
    if (known !== undefined) return known
    const info = await findRepo(this.#tx, repo)
    const isRoot = info !== undefined && info.provenance.length === 0
    this.#isRoot.set(repo, isRoot)
    return isRoot
  }
}
