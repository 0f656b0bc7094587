import type { CommitId, RepoName } from '../../base/names.ts'
import type { ReadTransaction, SqlRow } from '../../database/database.ts'
import type { CommitInfo } from '../../versioning/commit-records.ts'
import type { CommitName } from '../../versioning/ports.ts'
import { findRepo } from '../../versioning/repos.ts'

/** Root commits by repo. */
export type Roots = ReadonlyMap<RepoName, ReadonlySet<CommitId>>

/**
 * The root commits that others are made from, as one transaction sees them.
 *
 * A root is made from no others. That is so for good, whatever becomes of its repo: a pipeline may adopt it
 * or be deleted and leave it, and it may be deleted itself. Where a repo is made from no others, all of its commits
 * are roots, too, also one that somebody has made from others.
 *
 * What a commit that is gone was made from is gone with it, so it counts as a root.
 */
export class RootCommits {
  readonly #tx: ReadTransaction
  readonly #repos = new Map<RepoName, { readonly areRoots: boolean } | undefined>()

  constructor(tx: ReadTransaction) {
    this.#tx = tx
  }

  /** Those that a commit is made from, itself among them where it is one. */
  async rootsOf(commit: CommitInfo): Promise<Roots> {
    const { repo, id, provenance } = commit
    const roots = new Map<RepoName, Set<CommitId>>()
    if (provenance.length === 0) return roots.set(repo, new Set([id]))
    const found = await this.#tx.all<CommitName & SqlRow>(
      `SELECT p.ancestor AS id, p.ancestor_repo AS repo FROM commit_provenance p
        WHERE p.id = ? AND ${isRoot('p.ancestor', 'p.ancestor_repo')}`,
      id,
    )
    const itself = (await this.areAllIn(repo)) ? [{ repo, id }] : []
    for (const root of [...found, ...itself]) {
      roots.set(root.repo, (roots.get(root.repo) ?? new Set()).add(root.id))
    }
    return roots
  }

  /** Whether all commits of a repo are roots, since it is there, and made from no others. */
  async areAllIn(repo: RepoName): Promise<boolean> {
    return (await this.#find(repo))?.areRoots === true
  }

  async isThere(repo: RepoName): Promise<boolean> {
    return (await this.#find(repo)) !== undefined
  }

  async #find(repo: RepoName): Promise<{ readonly areRoots: boolean } | undefined> {
    if (this.#repos.has(repo)) return this.#repos.get(repo)
    const info = await findRepo(this.#tx, repo)
    const found = info && { areRoots: info.provenance.length === 0 }
    this.#repos.set(repo, found)
    return found
  }
}

/** What a root satisfies, in SQL, of which two columns have the id and the repo. */
export function isRoot(id: string, repo: string): string {
  return `(NOT EXISTS (SELECT 1 FROM commit_provenance r_c WHERE r_c.id = ${id})
    OR NOT EXISTS (SELECT 1 FROM repo_provenance r_r WHERE r_r.repo = ${repo})
      AND EXISTS (SELECT 1 FROM repos r_n WHERE r_n.name = ${repo}))`
}

/**
 * The repos of the roots that a commit is made from, beside itself, by name, a space behind each. None for
 * a commit that is made from no others, and only for that.
 */
export async function rootReposOf(tx: ReadTransaction, commit: CommitId): Promise<string> {
  const rows = await tx.all<{ readonly repo: string }>(
    `SELECT DISTINCT p.ancestor_repo AS repo FROM commit_provenance p
      WHERE p.id = ? AND ${isRoot('p.ancestor', 'p.ancestor_repo')}`,
    commit,
  )
  const names = rows.map(({ repo }) => `${repo} `)
  return names.toSorted().join('')
}
