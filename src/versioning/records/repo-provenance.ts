import { FailedPreconditionError, InvalidArgumentError } from '../../base/errors.ts'
import type { RepoName } from '../../base/names.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import { ProvenanceCycleError, RepoNotFoundError } from '../errors.ts'

/** Repos that one is made from, near and far: a change above is written to all that is below. */
const ancestorCountMax = 1000
/** What one change may look at: from each repo below to those that it is made from. Some 500 ms. */
const edgeCountMax = 300_000

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
 *
 * @throws {InvalidArgumentError} when one of them would be made from more than 1,000.
 * @throws {FailedPreconditionError} when too many are made from the repo.
 */
export async function writeRepoProvenance(
  tx: Transaction,
  repo: RepoName,
  direct: readonly RepoName[],
): Promise<void> {
  const descendants = await repoDescendants(tx, repo)
  const below = new Set<RepoName>([repo, ...descendants])
  for (const ancestor of direct) {
    const found = await tx.get('SELECT name FROM repos WHERE name = ?', ancestor)
    if (found === undefined) throw new RepoNotFoundError(ancestor)
    if (below.has(ancestor)) throw new ProvenanceCycleError(repo, ancestor)
  }
  const given = new Set(direct)
  const before = new Set(await directAncestors(tx, repo))
  if (given.isSubsetOf(before) && before.isSubsetOf(given)) return
  const work = {
    stale: below,
    given: new Map([[repo, [...given]]]),
    closures: new Map<RepoName, ReadonlySet<RepoName>>(),
    edgesLeft: edgeCountMax,
  }
  for (const name of below) await closureOf(tx, name, work)
}

interface ClosureWork {
  readonly stale: ReadonlySet<RepoName>
  readonly given: ReadonlyMap<RepoName, readonly RepoName[]>
  readonly closures: Map<RepoName, ReadonlySet<RepoName>>
  edgesLeft: number
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
    const further = await closureOf(tx, ancestor, work)
    work.edgesLeft -= 1 + further.size
    if (work.edgesLeft < 0) throw tooManyEdges(work)
    for (const name of further) closure.add(name)
    if (closure.size > ancestorCountMax) throw tooManyAncestors(repo)
  }
  await writeClosure(tx, repo, closure, new Set(direct))
  work.closures.set(repo, closure)
  return closure
}

/** Writes what differs from what is stored. */
async function writeClosure(
  tx: Transaction,
  repo: RepoName,
  closure: ReadonlySet<RepoName>,
  direct: ReadonlySet<RepoName>,
): Promise<void> {
  const rows = await tx.all<EdgeRow & { readonly direct: number }>(
    'SELECT ancestor AS name, direct FROM repo_provenance WHERE repo = ?',
    repo,
  )
  const stored = new Map(rows.map((row) => [row.name, row.direct]))
  for (const ancestor of closure) {
    const isDirect = direct.has(ancestor) ? 1 : 0
    if (stored.get(ancestor) === isDirect) continue
    await tx.run(
      `INSERT INTO repo_provenance (repo, ancestor, direct) VALUES (?, ?, ?)
        ON CONFLICT (repo, ancestor) DO UPDATE SET direct = excluded.direct`,
      repo,
      ancestor,
      isDirect,
    )
  }
  for (const ancestor of stored.keys()) {
    if (closure.has(ancestor)) continue
    await tx.run('DELETE FROM repo_provenance WHERE repo = ? AND ancestor = ?', repo, ancestor)
  }
}

function tooManyEdges({ stale }: ClosureWork): FailedPreconditionError {
  const [repo, ...descendants] = stale
  return new FailedPreconditionError(
    `the provenance of repo ${repo} cannot be changed: ${descendants.length} repos are made from it, with so many others that they cannot all follow at once; delete some of them first`,
  )
}

function tooManyAncestors(repo: RepoName): InvalidArgumentError {
  return new InvalidArgumentError(
    `repo ${repo} would be made from more than ${ancestorCountMax} repos, near and far, which is all that is allowed: make it from fewer, or from repos that are made from fewer`,
  )
}

/** The repos that `repo` is made from, not by way of others. */
export async function directAncestors(
  tx: ReadTransaction,
  repo: string,
): Promise<readonly RepoName[]> {
  const rows = await tx.all<EdgeRow>(
    'SELECT ancestor AS name FROM repo_provenance WHERE repo = ? AND direct = 1',
    repo,
  )
  return rows.map((row) => row.name)
}
