import { CancelledError, DomainError } from '../../base/errors.ts'

/** Whether it comes from what users did, such as deleting an input; the job says so. */
export function isOfUsers(error: unknown): boolean {
  if (!(error instanceof DomainError)) return false
  return error.kind === 'failed-precondition' || error.kind === 'not-found'
}

/** Whether trying again may help. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof DomainError)) return true
  // Cancelled, but not by us: something that the run used was closed under it.
  if (error instanceof CancelledError) return true
  return error.kind === 'unavailable' || error.kind === 'resource-exhausted'
}

/** Whether it is known to pass, such as a full disk: no error of ours, and nothing closed under it. */
export function isKnownToPass(error: unknown): boolean {
  return error instanceof DomainError && !(error instanceof CancelledError) && isPassing(error)
}

/** As the reason of a job says it. */
export function errorText(error: unknown): string {
  return error instanceof DomainError ? error.message : 'internal error; see the server log'
}
