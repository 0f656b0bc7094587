import { CancelledError } from '../../base/errors.ts'

/** @throws {CancelledError} once `signal` has aborted. */
export function checkCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new CancelledError('the call was cancelled')
}
