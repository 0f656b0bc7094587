import type { CommitId } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { isAncestor } from '../../versioning/ancestry.ts'
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
