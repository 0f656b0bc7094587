import type { Clock } from '../base/clock.ts'
import { CancelledError, type DomainError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { pauseAfter } from '../base/retries.ts'
import { SourceAbsentError, type SourceFile, SourceBrokeError } from './source.ts'

export interface Patience {
  /** How long a source may send nothing. */
  readonly stallMs: number
  /** How often in a row it may break without having sent `progressBytes`. */
  readonly attemptsMax: number
  /** The pause before the second attempt; it doubles from one to the next. */
  readonly pauseMs: number
}

export const usualPatience: Patience = { stallMs: 60_000, attemptsMax: 6, pauseMs: 500 }

const pauseMsMax = 30_000
/** An attempt that brought so much has not failed. */
const progressBytes = 1024 * 1024

export interface ResumePorts {
  readonly clock: Clock
  readonly random: Random
  readonly patience: Patience
}

/**
 * The bytes of a file from `offset` on, however often the source breaks off or stalls, as long as it goes on
 * where it broke. `name` is how errors name the file.
 *
 * @throws {SourceBrokeError} when it was tried often enough.
 */
export async function* resumedBytes(
  ports: ResumePorts,
  file: SourceFile,
  read: {
    readonly name: string
    readonly offset?: number
    readonly signal: AbortSignal
    /** Told of bytes that were here already. */
    readonly onHeld?: (count: number) => void
  },
): AsyncGenerator<Uint8Array> {
  const { name, offset = 0, signal, onHeld } = read
  let position = offset
  let counted = offset
  for (let attempt = 1; ; attempt += 1) {
    try {
      for await (const slice of watched(ports, signal, (stop) =>
        file.open(position, stop, onHeld),
      )) {
        position += slice.length
        yield slice
      }
      requireWhole(file, position)
      return
    } catch (error) {
      if (signal.aborted) throw new CancelledError('the transfer was cancelled', { cause: error })
      const broke = brokenWith(error, position > offset)
      if (broke === undefined) throw error
      if (position - counted >= progressBytes) {
        counted = position
        attempt = 1
      }
      if (attempt >= ports.patience.attemptsMax) throw exhausted(name, position, attempt, broke)
      await pause(ports, attempt, broke, signal)
    }
  }
}

/** A source that refuses connections is not there; one that has sent something may only have been started anew. */
function brokenWith(error: unknown, hasSent: boolean): SourceBrokeError | undefined {
  if (error instanceof SourceBrokeError) return error
  if (!hasSent || !(error instanceof SourceAbsentError)) return undefined
  return new SourceBrokeError(error.message, { cause: error })
}

/** A connection that is closed early does not always look like an error. */
function requireWhole({ sizeBytes }: SourceFile, position: number): void {
  if (sizeBytes === undefined || position === sizeBytes) return
  throw new SourceBrokeError(`it ended after ${position} of ${sizeBytes} bytes`)
}

/** At least as long as the source asks for. */
async function pause(
  ports: ResumePorts,
  failureCount: number,
  { retryAfterMs = 0 }: SourceBrokeError,
  signal: AbortSignal,
): Promise<void> {
  const pauseMs = Math.max(ports.patience.pauseMs, retryAfterMs / 2 ** (failureCount - 1))
  await pauseAfter(ports, { pauseMs, pauseMsMax }, failureCount, signal)
}

function exhausted(
  name: string,
  position: number,
  attempts: number,
  cause: SourceBrokeError,
): DomainError {
  const where = position === 0 ? '' : ` (after ${position} bytes)`
  return new SourceBrokeError(
    `cannot read ${name}${where}, tried ${attempts} times: ${cause.message}`,
    {
      cause,
    },
  )
}

/**
 * The items of a list that does not change, each once, though it may break off and be asked for again.
 *
 * @throws {SourceBrokeError} when it was tried often enough.
 */
export async function* resumedItems<Item>(
  ports: ResumePorts,
  signal: AbortSignal,
  open: (signal: AbortSignal) => AsyncIterable<Item>,
): AsyncGenerator<Item> {
  let count = 0
  for (let attempt = 1; ; attempt += 1) {
    let index = 0
    try {
      for await (const item of watched(ports, signal, open)) {
        index += 1
        if (index <= count) continue
        count = index
        attempt = 1
        yield item
      }
      return
    } catch (error) {
      if (signal.aborted) throw new CancelledError('the transfer was cancelled', { cause: error })
      if (!(error instanceof SourceBrokeError) || attempt >= ports.patience.attemptsMax) throw error
      await pause(ports, attempt, error, signal)
    }
  }
}

/** One attempt, which ends when the source has sent nothing for too long. */
async function* watched<Piece>(
  { clock, patience }: ResumePorts,
  signal: AbortSignal,
  open: (signal: AbortSignal) => AsyncIterable<Piece>,
): AsyncGenerator<Piece> {
  const attempt = new AbortController()
  const source = open(AbortSignal.any([signal, attempt.signal]))
  const iterator = source[Symbol.asyncIterator]()
  const waits = new Waits(clock, patience.stallMs, attempt.signal)
  try {
    for (;;) {
      const next = await waits.wait(iterator.next())
      if (next.done === true) return
      yield next.value
    }
  } finally {
    attempt.abort()
    // Not awaited: it may wait for a read that only the abort ends.
    iterator.return?.().catch(() => undefined)
  }
}

/** Waits for one thing after another, each for so long at most. One timer serves all: there are many pieces. */
class Waits {
  readonly #clock: Clock
  readonly #stallMs: number
  readonly #signal: AbortSignal
  #sinceMs = 0
  #giveUp: ((error: Error) => void) | undefined
  #isWatched = false

  /** Until `signal` aborts. */
  constructor(clock: Clock, stallMs: number, signal: AbortSignal) {
    this.#clock = clock
    this.#stallMs = stallMs
    this.#signal = signal
  }

  /** @throws {SourceBrokeError} when it takes too long. */
  async wait<Value>(value: Promise<Value>): Promise<Value> {
    this.#sinceMs = this.#clock.monotonicMs()
    if (!this.#isWatched) this.#watch().catch(() => undefined) // nothing is waited for any more
    this.#isWatched = true
    try {
      return await new Promise<Value>((resolve, reject) => {
        this.#giveUp = reject
        value.then(resolve, reject)
      })
    } finally {
      this.#giveUp = undefined
    }
  }

  async #watch(): Promise<void> {
    for (let restMs = this.#stallMs; ;) {
      await this.#clock.sleep(restMs, this.#signal)
      const giveUp = this.#giveUp
      const waitedMs = giveUp === undefined ? 0 : this.#clock.monotonicMs() - this.#sinceMs
      restMs = this.#stallMs - waitedMs
      if (restMs > 0) continue
      giveUp?.(new SourceBrokeError(`it sent nothing for ${Math.round(this.#stallMs / 1000)} s`))
      return
    }
  }
}

/** The answer to a question that may be asked again when the source breaks. */
export async function patiently<Answer>(
  ports: ResumePorts,
  signal: AbortSignal,
  ask: (signal: AbortSignal) => Promise<Answer>,
): Promise<Answer> {
  const { clock, patience } = ports
  for (let attempt = 1; ; attempt += 1) {
    const stop = new AbortController()
    try {
      return await new Waits(clock, patience.stallMs, stop.signal).wait(
        ask(AbortSignal.any([signal, stop.signal])),
      )
    } catch (error) {
      if (signal.aborted) throw new CancelledError('the transfer was cancelled', { cause: error })
      if (!(error instanceof SourceBrokeError) || attempt >= patience.attemptsMax) throw error
      await pause(ports, attempt, error, signal)
    } finally {
      stop.abort()
    }
  }
}
