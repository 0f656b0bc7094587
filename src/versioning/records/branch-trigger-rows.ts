import { FailedPreconditionError } from '../../base/errors.ts'
import type { ReadTransaction, Transaction } from '../../database/database.ts'
import { branchTriggerTopic } from '../ports.ts'

/** True when there was a trigger; its branch stays. */
export async function removeTrigger(
  tx: Transaction,
  repo: string,
  branch: string,
): Promise<boolean> {
  const count = await tx.run(
    'DELETE FROM branch_triggers WHERE repo = ? AND branch = ?',
    repo,
    branch,
  )
  if (count > 0) await tx.emit(branchTriggerTopic, `${repo}/${branch}`)
  return count > 0
}

/** For changes by hand. @throws {FailedPreconditionError} when a pipeline reads through the trigger. */
export async function refuseOwnedTrigger(
  tx: ReadTransaction,
  repo: string,
  branch: string,
): Promise<void> {
  const row = await tx.get<{ readonly owner: string }>(
    `SELECT owner FROM branch_triggers WHERE repo = ? AND branch = ? AND owner <> ''`,
    repo,
    branch,
  )
  if (row === undefined) return
  throw new FailedPreconditionError(
    `branch ${branch} of repo ${repo} belongs to the trigger in the spec of pipeline ${row.owner}: update or delete the pipeline`,
  )
}
