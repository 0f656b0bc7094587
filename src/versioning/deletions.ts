import { addBytes } from '../base/byte-sums.ts'
import { FailedPreconditionError, InvalidArgumentError } from '../base/errors.ts'
import type { BranchName, CommitId, RepoName } from '../base/names.ts'
import type { ReadTransaction, Transaction } from '../database/database.ts'
import { recountTriggers } from './branch-triggers.ts'
import { branchesAt, deleteBranch, setHead } from './branches.ts'
import { checkCommitNames, getCommitName } from './commit-records.ts'
import { requireUntagged } from './commit-tags.ts'
import { removeCommit } from './commits/removal.ts'
import { CommitBusyError } from './errors.ts'
import {
  type CommitName,
  type GoingCommits,
  type JobRemoval,
  repoTopic,
  type VersioningPorts,
} from './ports.ts'
import { checkCancelled } from './records/cancellation.ts'
import { isInRepo } from './records/deleted-repos.ts'
import { shrinkRepoSize } from './records/repo-sizes.ts'
import { nextWritten } from './records/write-sequence.ts'
import type { OpenTrees } from './staging/open-trees.ts'
import { sweepCommit } from './staging/sweep.ts'

/** A commit that goes. */
interface DeletedCommit extends CommitName {
  /** What its repo's recorded size loses. */
  readonly addedBytes: number
}

/** A branch whose head goes. */
interface MovedBranch {
  readonly repo: RepoName
  readonly name: BranchName
  /** The nearest ancestor that stays; undefined: the branch goes. */
  readonly head: CommitId | undefined
}

/** What was deleted, or would be. */
export interface Deletion {
  /** Latest written first. */
  readonly commits: readonly DeletedCommit[]
  readonly branches: readonly MovedBranch[]
  readonly jobs: JobRemoval
}

/** Commits that go at once: one transaction deletes them, which holds up all others. */
const commitsMax = 2000
/** Tries to delete what was planned while others change it. */
const attemptsMax = 5

/** The part of a deletion that is known from rows. */
interface Plan extends Omit<Deletion, 'jobs'> {
  readonly going: GoingCommits
  /** Those that have staged writes, which go with them. */
  readonly open: readonly CommitId[]
}

type GoingRow = {
  readonly repo: RepoName
  readonly id: CommitId
  readonly parent: CommitId | null
  readonly finished_at: number | null
  readonly added_bytes: number | null
  readonly written: number
}

/** Deletes commits, also finished ones, with all that was made from them. */
export class Deletions {
  readonly #ports: VersioningPorts
  readonly #openTrees: OpenTrees

  constructor(ports: VersioningPorts, openTrees: OpenTrees) {
    this.#ports = ports
    this.#openTrees = openTrees
  }

  /**
   * Deletes commits (each a branch or an id), the commits downstream that have them in their
   * provenance, and the jobs that read them, in one transaction. Commits that follow one in its repo
   * get its parent and keep their files; branches move to the nearest ancestor that stays.
   *
   * @throws {FailedPreconditionError} when something that stays cannot do without one of them.
   * @throws {CommitBusyError} when what would go kept changing.
   */
  async delete(
    names: readonly { readonly repo: string; readonly commit: string }[],
    options: { readonly dryRun: boolean; readonly signal?: AbortSignal },
  ): Promise<Deletion> {
    const { database, uses } = this.#ports
    if (names.length === 0) throw new InvalidArgumentError('a commit is needed, but none was given')
    checkCommitNames(names.map(({ commit }) => commit))
    // Branches move when commits go, so names are looked up once.
    const given = await database.read(async (tx) => {
      const ids = new Set<CommitId>()
      for (const { repo, commit } of names) ids.add((await getCommitName(tx, repo, commit)).id)
      return ids
    })
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      checkCancelled(options.signal)
      const { going, open, ...plan } = await database.read((tx) => planOf(tx, given))
      const jobs = await uses.planRemoval(going, options.signal)
      if (options.dryRun) return { ...plan, jobs }
      if (!(await this.#apply(given, { ...plan, going, open }, jobs))) continue
      for (const id of open) {
        this.#openTrees.forget(id)
        await sweepCommit(database, id)
      }
      return { ...plan, jobs }
    }
    throw new CommitBusyError('what would be deleted')
  }

  /** False when something has changed since it was planned. */
  async #apply(given: ReadonlySet<CommitId>, plan: Plan, jobs: JobRemoval): Promise<boolean> {
    const { clock, database, onHeadReady, uses } = this.#ports
    const at = clock.now()
    return database.transact(
      async (tx) => {
        const now = await planOf(tx, given)
        if (textOf(now) !== textOf(plan)) return false
        if (!(await uses.remove(tx, plan.going, jobs, at))) return false
        // The oldest first, so that each finds its parent as it will stay.
        for (const commit of plan.commits.toReversed()) await removeCommit(tx, commit)
        await shrinkRepos(tx, plan.commits)
        // Heads last: what they set off sees everything as it will be.
        for (const { repo, name, head } of plan.branches) {
          if (head === undefined) await deleteBranch(tx, repo, name)
          else await setHead(tx, onHeadReady, { repo, name, head })
        }
        for (const repo of new Set(plan.commits.map((commit) => commit.repo))) {
          await recountTriggers(tx, repo)
        }
        return true
      },
      { usesReserve: true },
    )
  }
}

async function planOf(tx: ReadTransaction, given: ReadonlySet<CommitId>): Promise<Plan> {
  const rows = await goingRows(tx, given)
  const going = new Map<CommitId, CommitName & { readonly heir: CommitId | undefined }>()
  for (const [id, row] of rows) {
    going.set(id, { repo: row.repo, id, heir: heirOf(row, rows) })
  }
  await requireDeletable(tx, going)
  const branches: MovedBranch[] = []
  for (const { id, heir } of going.values()) {
    for (const { repo, name } of await branchesAt(tx, id)) branches.push({ repo, name, head: heir })
  }
  const latestFirst = [...rows.values()].toSorted((left, right) => right.written - left.written)
  const commits = latestFirst.map(({ repo, id, added_bytes }) => ({
    repo,
    id,
    addedBytes: added_bytes ?? 0,
  }))
  const open = latestFirst.filter((row) => row.finished_at === null).map(({ id }) => id)
  return { commits, branches, going, open }
}

/** The nearest ancestor that stays. */
function heirOf(row: GoingRow, rows: ReadonlyMap<CommitId, GoingRow>): CommitId | undefined {
  // So that rows which are damaged, and go in a circle, end it, too.
  const passed = new Set<CommitId>()
  let heir = row.parent
  while (heir !== null && rows.has(heir) && !passed.has(heir)) {
    passed.add(heir)
    heir = rows.get(heir)?.parent ?? null
  }
  return heir === null || rows.has(heir) ? undefined : heir
}

/** The given commits and all that have one of them in their provenance. */
async function goingRows(
  tx: ReadTransaction,
  given: ReadonlySet<CommitId>,
): Promise<ReadonlyMap<CommitId, GoingRow>> {
  const columns = `commits.repo, commits.id, commits.parent, commits.finished_at,
    commits.added_bytes, commits.written`
  const rows = new Map<CommitId, GoingRow>()
  for (const id of given) {
    const found = await tx.all<GoingRow>(
      `SELECT ${columns} FROM commits WHERE id = ?
        UNION ALL SELECT ${columns} FROM commit_provenance
          JOIN commits ON commits.id = commit_provenance.id
          WHERE ancestor = ? AND ${isInRepo} LIMIT ?`,
      id,
      id,
      commitsMax + 1,
    )
    for (const row of found) rows.set(row.id, row)
    if (rows.size > commitsMax) {
      throw new FailedPreconditionError(
        `more than ${commitsMax} commits would go at once: delete some that are downstream of these first`,
      )
    }
  }
  return rows
}

/**
 * What protects commits from being deleted, one check after the other: the place for those to come,
 * such as `requireUntagged`.
 *
 * @throws {FailedPreconditionError}
 */
async function requireDeletable(tx: ReadTransaction, going: GoingCommits): Promise<void> {
  await requireUntagged(tx, [...going.keys()])
  await requireNoOpenChild(tx, going)
}

/** An open commit shows its parent's files: they would change under whoever writes to it. */
async function requireNoOpenChild(tx: ReadTransaction, going: GoingCommits): Promise<void> {
  for (const { repo, id } of going.values()) {
    const open = await tx.all<{ readonly id: CommitId }>(
      'SELECT id FROM commits WHERE parent = ? AND finished_at IS NULL',
      id,
    )
    const child = open.find((one) => !going.has(one.id))
    if (child === undefined) continue
    throw new FailedPreconditionError(
      `cannot delete commit ${repo}/${id}: the open commit ${child.id} follows it; finish or delete that first`,
    )
  }
}

async function shrinkRepos(tx: Transaction, commits: readonly DeletedCommit[]): Promise<void> {
  const lost = new Map<RepoName, number>()
  for (const { repo, addedBytes } of commits) {
    lost.set(repo, addBytes(lost.get(repo) ?? 0, addedBytes))
  }
  for (const [repo, bytes] of lost) {
    await shrinkRepoSize(tx, repo, bytes)
    await tx.run('UPDATE repos SET written = ? WHERE name = ?', await nextWritten(tx), repo)
    await tx.emit(repoTopic, repo)
  }
}

function textOf({ commits, branches, going, open }: Plan): string {
  return JSON.stringify([commits, branches, [...going.values()], open])
}
