import type { CommitId } from '../base/names.ts'
import type { ReadTransaction } from '../database/database.ts'
import { parentRows } from './records/commit-parents.ts'

/** Commits that are looked at in one transaction, which others wait for. */
const stepsMax = 10_000

/**
 * Whether `commit` has all that `ancestor` has: leads back to it, by parents and merge parents; a
 * commit leads back to itself. Costs one look-up for each commit since; of more than 10,000 it is
 * false.
 */
export async function isAncestor(
  tx: ReadTransaction,
  ancestor: CommitId,
  commit: CommitId,
): Promise<boolean> {
  const end = await tx.get<{ readonly written: number }>(
    'SELECT written FROM commits WHERE id = ?',
    ancestor,
  )
  if (end === undefined) return false
  const seen = new Set<CommitId>()
  const waiting = [commit]
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (id === ancestor) return true
    if (seen.has(id)) continue
    if (seen.size === stepsMax) return false
    seen.add(id)
    for (const parent of await parentRows(tx, id)) {
      // A commit is written after its parents.
      if (parent.written >= end.written) waiting.push(parent.id)
    }
  }
  return false
}

type Written = { readonly id: CommitId; readonly written: number }

/**
 * As `isAncestor`, of one commit for many that may be ancestors of it. What it leads back to is gone through
 * once, as far as it was written after what is asked for.
 */
export class AncestorsOf {
  readonly #tx: ReadTransaction
  readonly #commit: CommitId
  readonly #seen = new Set<CommitId>()
  /** They lead on to what was written earlier than all that was asked for. */
  #waiting: readonly Written[] | undefined

  constructor(tx: ReadTransaction, commit: CommitId) {
    this.#tx = tx
    this.#commit = commit
  }

  async has(ancestor: CommitId): Promise<boolean> {
    const end = await this.#find(ancestor)
    if (end === undefined) return false
    if (this.#waiting === undefined) {
      const commit = await this.#find(this.#commit)
      this.#waiting = commit === undefined ? [] : [commit]
    }
    const later = this.#waiting.filter(({ written }) => written >= end.written)
    const waiting = this.#waiting.filter(({ written }) => written < end.written)
    for (let next = later.pop(); next !== undefined; next = later.pop()) {
      if (this.#seen.has(next.id) || this.#seen.size === stepsMax) continue
      this.#seen.add(next.id)
      for (const parent of await parentRows(this.#tx, next.id)) {
        // A commit is written after its parents.
        const to = parent.written >= end.written ? later : waiting
        to.push(parent)
      }
    }
    this.#waiting = waiting
    return this.#seen.has(ancestor)
  }

  async #find(id: CommitId): Promise<Written | undefined> {
    return await this.#tx.get<Written>('SELECT id, written FROM commits WHERE id = ?', id)
  }
}
