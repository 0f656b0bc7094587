import type { Clock } from './clock.ts'
import { NotFoundError, UnavailableError } from './errors.ts'
import type { Random } from './random.ts'

/** The pauses between attempts at something that another machine has to do. */
export interface Pauses {
  /** Before the second attempt; each one after that waits twice as long. */
  readonly pauseMs: number
  readonly pauseMsMax: number
}

/** How often, and after which pauses, it is tried again. */
export interface Retries extends Pauses {
  readonly attemptsMax: number
  /** No attempt begins after so long: one that hears nothing takes minutes by itself. */
  readonly timeMsMax: number
}

/** After such a silence, another machine is not waited for any more. */
export const silentMs = 60_000
/** The same, once it was sent something: it answers when that is stored, or put together. */
export const silentMsOfSent: number = 2 * silentMs

/** About 6 seconds in all, besides what the attempts themselves take: two, where nothing is heard. */
export const usualRetries: Retries = {
  attemptsMax: 6,
  pauseMs: 200,
  pauseMsMax: 5000,
  timeMsMax: 2 * silentMsOfSent,
}

/** For work that nobody waits for: half a minute in all, in which a store that is overrun can recover. */
export const patientRetries: Retries = {
  attemptsMax: 6,
  pauseMs: 1000,
  pauseMsMax: 30_000,
  timeMsMax: 5 * silentMsOfSent,
}

export interface PausePorts {
  readonly clock: Clock
  readonly random: Random
}

export interface RetryPorts extends PausePorts {
  readonly retries: Retries
}

/** One piece of work that is tried again. */
export class Attempts {
  readonly #ports: RetryPorts
  readonly #signal: AbortSignal
  #failureCount = 0
  #startedMs: number

  constructor(ports: RetryPorts, signal: AbortSignal) {
    this.#ports = ports
    this.#signal = signal
    this.#startedMs = ports.clock.monotonicMs()
  }

  /** Some of the work is done for good: what follows has all attempts before it. */
  succeeded(): void {
    this.#failureCount = 0
    this.#startedMs = this.#ports.clock.monotonicMs()
  }

  /**
   * Waits before the next attempt.
   *
   * @throws {unknown} `error`, when another attempt does not help.
   * @throws {UnavailableError} when that was the last one.
   */
  async failed(error: unknown): Promise<void> {
    const { clock, retries } = this.#ports
    const failure = passingFailure(error)
    if (failure === undefined || this.#signal.aborted) throw error
    this.#failureCount += 1
    const isLate = clock.monotonicMs() - this.#startedMs >= retries.timeMsMax
    if (this.#failureCount >= retries.attemptsMax || isLate) throw failure
    await pauseAfter(this.#ports, retries, this.#failureCount, this.#signal)
  }
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
  const attempts = new Attempts(ports, signal)
  for (;;) {
    try {
      return await work()
    } catch (error) {
      await attempts.failed(error)
    }
  }
}

/** How long to wait after so many failures, for whoever has nobody to come back in step with. */
export function pauseMsAfter({ pauseMs, pauseMsMax }: Pauses, failureCount: number): number {
  return Math.min(pauseMs * 2 ** (failureCount - 1), pauseMsMax)
}

/** Waits longer after each failure, plus up to a half, so that many do not come back in step. */
export async function pauseAfter(
  { clock, random }: PausePorts,
  pauses: Pauses,
  failureCount: number,
  signal: AbortSignal,
): Promise<void> {
  const pauseMs = pauseMsAfter(pauses, failureCount)
  await clock.sleep(pauseMs * (1 + random.fraction() / 2), signal)
}

/** Undefined for what trying again does not help against. */
function passingFailure(error: unknown): UnavailableError | undefined {
  if (error instanceof UnavailableError) return error
  if (error instanceof NotFoundError) return new UnavailableError(error.message, { cause: error })
  return undefined
}
