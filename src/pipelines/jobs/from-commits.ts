import type { CommitId } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { AncestorsOf, isAncestor } from '../../versioning/ancestry.ts'
import type { AtomInput } from '../inputs.ts'

/**
 * Whether a commit of an input's repo is its `fromCommit`, or one that this leads back to. Costs a few
 * look-ups for one that was written later, as most are; for others as much as `isAncestor`.
 */
export async function startsNoJob(
  tx: ReadTransaction,
  { fromCommit }: Pick<AtomInput, 'fromCommit'>,
  commit: CommitId,
): Promise<boolean> {
  return fromCommit !== undefined && (await isAncestor(tx, commit, fromCommit))
}

/** The commits that start no job, for many of one branch: see `AncestorsOf`. */
export class CommitsBefore {
  readonly #tx: ReadTransaction
  readonly #ancestors = new Map<CommitId, AncestorsOf>()

  constructor(tx: ReadTransaction) {
    this.#tx = tx
  }

  /** As `startsNoJob`. */
  async has({ fromCommit }: Pick<AtomInput, 'fromCommit'>, commit: CommitId): Promise<boolean> {
    if (fromCommit === undefined) return false
    const ancestors = this.#ancestors.get(fromCommit) ?? new AncestorsOf(this.#tx, fromCommit)
    this.#ancestors.set(fromCommit, ancestors)
    return await ancestors.has(commit)
  }
}
