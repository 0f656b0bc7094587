import { FailedPreconditionError } from '../../base/errors.ts'

/** Bytes and files of a tree, which copies and merges of copies double: far below 2^53, where counting ends. */
const treeTotalMax = 2 ** 50

/**
 * Must be asked before a tree is made by reference, at no cost of its own. What a tree holds is
 * exact: bounded sums would differ with the history of equal trees.
 *
 * @throws {FailedPreconditionError} when a tree is too large to be counted. `holder` names whose it would be.
 */
export function requireCountable(
  holder: string,
  { fileCount, sizeBytes }: { readonly fileCount: number; readonly sizeBytes: number },
): void {
  if (fileCount <= treeTotalMax && sizeBytes <= treeTotalMax) return
  throw new FailedPreconditionError(
    `${holder} would hold more than 2^50 files or bytes, which is more than can be counted`,
  )
}
