import { CancelledError } from '../../base/errors.ts'
import type { Turns } from '../../base/turns.ts'

/** How a walk over nodes that are in memory, and so never waits, leaves the process to others. */
export interface WalkPace {
  /** Absent where nobody else wants a turn. */
  readonly turns?: Turns | undefined
  /** Ends the walk, whether it has found anything or not. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Before steps of microseconds: undefined where the walk may go on at once.
 *
 * @throws {CancelledError} once its signal has aborted.
 */
export function nextSteps({ turns, signal }: WalkPace, count: number): Promise<void> | undefined {
  if (signal?.aborted === true) throw new CancelledError('the call was cancelled')
  return turns?.nextOfMany(count)
}
