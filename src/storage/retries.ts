import type { Clock } from '../base/clock.ts'
import { NotFoundError, UnavailableError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'

/** How often, and after which pauses, something is tried again that another machine has to do. */
export interface Retries {
  readonly attemptsMax: number
  /** Before the second attempt; each one after that waits twice as long. */
  readonly pauseMs: number
  readonly pauseMsMax: number
  /** No attempt begins after so long: one that hears nothing takes a minute by itself. */
  readonly timeMsMax: number
}

/** About 6 seconds in all, besides what the attempts themselves take. */
export const usualRetries: Retries = {
  attemptsMax: 6,
  pauseMs: 200,
  pauseMsMax: 5000,
  timeMsMax: 60_000,
}

export interface RetryPorts {
  readonly clock: Clock
  readonly random: Random
  readonly retries: Retries
}

/**
 * Does `work`, again while it fails in a way that may pass. That a bucket or its host is not found may pass,
 * too: names are looked up elsewhere.
 *
 * @throws {UnavailableError} when the last attempt has failed like that.
 */
export async function retried<Result>(
  ports: RetryPorts,
  signal: AbortSignal,
  work: () => Promise<Result>,
): Promise<Result> {
  const { clock } = ports
  const { attemptsMax, timeMsMax } = ports.retries
  const startedMs = clock.monotonicMs()
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      const failure = passingFailure(error)
      if (failure === undefined || signal.aborted) throw error
      const isLate = clock.monotonicMs() - startedMs >= timeMsMax
      if (attempt >= attemptsMax || isLate) throw failure
      await pauseAfter(ports, attempt, signal)
    }
  }
}

/** Waits longer after each failure, plus up to a half, so that many do not come back in step. */
export async function pauseAfter(
  { clock, random, retries }: RetryPorts,
  failureCount: number,
  signal: AbortSignal,
): Promise<void> {
  const pauseMs = Math.min(retries.pauseMs * 2 ** (failureCount - 1), retries.pauseMsMax)
  await clock.sleep(pauseMs * (1 + random.fraction() / 2), signal)
}

/** Undefined for what trying again does not help against. */
export function passingFailure(error: unknown): UnavailableError | undefined {
  if (error instanceof UnavailableError) return error
  if (error instanceof NotFoundError) return new UnavailableError(error.message, { cause: error })
  return undefined
}
