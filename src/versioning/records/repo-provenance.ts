import type { RepoName } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import { ProvenanceCycleError, RepoNotFoundError } from '../errors.ts'

type EdgeRow = { readonly name: RepoName }

/** Every repo that `repo` is made from, near and far, by name. */
export async function repoAncestors(
  tx: ReadTransaction,
  repo: string,
): Promise<readonly RepoName[]> {
  const rows = await tx.all<EdgeRow>(
    'SELECT ancestor AS name FROM repo_provenance WHERE repo = ? ORDER BY ancestor',
    repo,
  )
  return rows.map((row) => row.name)
}

/** Every repo that is made from `repo`, near and far, by name. */
export async function repoDescendants(
  tx: ReadTransaction,
  repo: string,
): Promise<readonly RepoName[]> {
  const rows = await tx.all<EdgeRow>(
    'SELECT repo AS name FROM repo_provenance WHERE ancestor = ? ORDER BY repo',
    repo,
  )
  return rows.map((row) => row.name)
}

/**
 * Makes `direct` the repos that `repo` is made from, and brings the closures of `repo` and of all
 * that is made from it up to date.
 */
export async function writeRepoProvenance(
  tx: Transaction,
  repo: RepoName,
  direct: readonly RepoName[],
): Promise<void> {
  for (const ancestor of direct) {
    const found = await tx.get('SELECT name FROM repos WHERE name = ?', ancestor)
    if (found === undefined) throw new RepoNotFoundError(ancestor)
    const cyclic =
      ancestor === repo || (await repoAncestors(tx, ancestor)).some((name) => name === repo)
    if (cyclic) throw new ProvenanceCycleError(repo, ancestor)
  }
  const stale = new Set([repo, ...(await repoDescendants(tx, repo))])
  const given = new Map([[repo, [...new Set(direct)]]])
  const closures = new Map<RepoName, ReadonlySet<RepoName>>()
  for (const name of stale) await closureOf(tx, name, { stale, given, closures })
}

interface ClosureWork {
  readonly stale: ReadonlySet<RepoName>
  readonly given: ReadonlyMap<RepoName, readonly RepoName[]>
  readonly closures: Map<RepoName, ReadonlySet<RepoName>>
}

/** The closure of one repo, rewritten if it is stale, its ancestors' first. */
async function closureOf(
  tx: Transaction,
  repo: RepoName,
  work: ClosureWork,
): Promise<ReadonlySet<RepoName>> {
  const known = work.closures.get(repo)
  if (known !== undefined) return known
  if (!work.stale.has(repo)) {
    const stored = new Set(await repoAncestors(tx, repo))
    work.closures.set(repo, stored)
    return stored
  }
  const direct = work.given.get(repo) ?? (await directAncestors(tx, repo))
  const closure = new Set<RepoName>()
  for (const ancestor of direct) {
    closure.add(ancestor)
    for (const further of await closureOf(tx, ancestor, work)) closure.add(further)
  }
  await tx.run('DELETE FROM repo_provenance WHERE repo = ?', repo)
  for (const ancestor of closure) {
    await tx.run(
      'INSERT INTO repo_provenance (repo, ancestor, direct) VALUES (?, ?, ?)',
      repo,
      ancestor,
      direct.includes(ancestor) ? 1 : 0,
    )
  }
  work.closures.set(repo, closure)
  return closure
}

async function directAncestors(tx: ReadTransaction, repo: RepoName): Promise<readonly RepoName[]> {
  const rows = await tx.all<EdgeRow>(
    'SELECT ancestor AS name FROM repo_provenance WHERE repo = ? AND direct = 1',
    repo,
  )
  return rows.map((row) => row.name)
}
