import { DataLossError, FailedPreconditionError } from '../../base/errors.ts'
import type { CommitId } from '../../base/names.ts'
import type { Database, ReadTransaction, Transaction } from '../../database/database.ts'

/** Commits that are looked at in one read. */
const pageMax = 500
/** Such reads within a transaction that changes something: others wait for its end. */
const nearPagesMax = 20

type ParentRow = { readonly id: CommitId; readonly written: number }

/** Notes that `id` has the changes of `parent`, too. */
export async function addMergeParent(
  tx: Transaction,
  id: CommitId,
  parent: CommitId,
): Promise<void> {
  await tx.run(
    'INSERT INTO merge_parents (id, parent) VALUES (?, ?) ON CONFLICT (id, parent) DO NOTHING',
    id,
    parent,
  )
}

/** The commits that a merge brought in, besides the parent. */
export async function mergeParents(
  tx: ReadTransaction,
  id: CommitId,
): Promise<readonly CommitId[]> {
  const rows = await tx.all<{ readonly parent: CommitId }>(
    'SELECT parent FROM merge_parents WHERE id = ? ORDER BY parent',
    id,
  )
  return rows.map(({ parent }) => parent)
}

/**
 * The latest written commit that both lead back to, by parents and merge parents; a commit leads
 * back to itself. Of several that are nearest, where branches were merged crosswise, it is one.
 * Looks at the commits since then only, unless the two have nothing in common.
 */
export async function commonAncestor(
  database: Database,
  ours: CommitId,
  theirs: CommitId,
): Promise<CommitId | undefined> {
  const search = new AncestorSearch(ours, theirs)
  for (;;) {
    const found = await database.read((tx) => search.page(tx))
    if (found !== 'more') return found
  }
}

/**
 * As `commonAncestor`, within a transaction.
 *
 * @throws {FailedPreconditionError} when it would have to look at more than 10,000 commits.
 */
export async function nearCommonAncestor(
  tx: ReadTransaction,
  ours: CommitId,
  theirs: CommitId,
): Promise<CommitId | undefined> {
  const search = new AncestorSearch(ours, theirs)
  for (let count = 0; count < nearPagesMax; count += 1) {
    const found = await search.page(tx)
    if (found !== 'more') return found
  }
  throw new FailedPreconditionError(
    `what commits ${ours} and ${theirs} have in common is more than ${nearPagesMax * pageMax} commits back, too far for a transaction: do it without one`,
  )
}

interface Reached {
  readonly written: number
  readonly byOurs: boolean
  readonly byTheirs: boolean
}

/**
 * Goes back on both sides at once, always from the latest written commit: a commit is written after
 * its parents, so the first that both sides reach leads to all others that they have in common.
 */
class AncestorSearch {
  readonly #ours: CommitId
  readonly #theirs: CommitId
  #frontier: Map<CommitId, Reached> | undefined

  constructor(ours: CommitId, theirs: CommitId) {
    this.#ours = ours
    this.#theirs = theirs
  }

  /** Changes nothing but itself: a read runs once. */
  async page(tx: ReadTransaction): Promise<CommitId | undefined | 'more'> {
    const frontier = this.#frontier ?? (await this.#start(tx))
    this.#frontier = frontier
    for (let count = 0; count < pageMax; count += 1) {
      const reached = [...frontier.values()]
      const isOver = !reached.some(({ byOurs }) => byOurs) || !reached.some((one) => one.byTheirs)
      const latest = latestOf(frontier)
      if (isOver || latest === undefined) return undefined
      const [id, { written: latestWritten, byOurs, byTheirs }] = latest
      if (byOurs && byTheirs) return id
      frontier.delete(id)
      for (const { id: parent, written } of await parentRows(tx, id)) {
        if (written >= latestWritten) {
          throw new DataLossError(
            `commit ${id} follows ${parent}, which was written after it: the history is damaged; fsck tells more`,
          )
        }
        const known = frontier.get(parent)
        frontier.set(parent, {
          written,
          byOurs: byOurs || known?.byOurs === true,
          byTheirs: byTheirs || known?.byTheirs === true,
        })
      }
    }
    return 'more'
  }

  async #start(tx: ReadTransaction): Promise<Map<CommitId, Reached>> {
    const frontier = new Map<CommitId, Reached>()
    for (const id of [this.#ours, this.#theirs]) {
      const row = await tx.get<ParentRow>('SELECT id, written FROM commits WHERE id = ?', id)
      if (row === undefined) continue
      const { written } = row
      frontier.set(id, { written, byOurs: id === this.#ours, byTheirs: id === this.#theirs })
    }
    return frontier
  }
}

function latestOf(frontier: ReadonlyMap<CommitId, Reached>): [CommitId, Reached] | undefined {
  let latest: [CommitId, Reached] | undefined
  for (const entry of frontier) {
    if (latest === undefined || entry[1].written > latest[1].written) latest = entry
  }
  return latest
}

/** The parents and merge parents of a commit, with when each was written. */
export async function parentRows(tx: ReadTransaction, id: CommitId): Promise<readonly ParentRow[]> {
  return tx.all<ParentRow>(
    `SELECT parents.id, parents.written FROM commits
        JOIN commits AS parents ON parents.id = commits.parent WHERE commits.id = ?
      UNION SELECT parents.id, parents.written FROM merge_parents
        JOIN commits AS parents ON parents.id = merge_parents.parent WHERE merge_parents.id = ?`,
    id,
    id,
  )
}
