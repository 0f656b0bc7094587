import type { Clock } from '../../base/clock.ts'
import { OperationError } from '../errors.ts'

export interface ProgressBounds {
  /** The longest time without anything new, and up to a quarter more. */
  readonly waitMsMax: number
  readonly signal?: AbortSignal
}

/**
 * What `open` yields, given up when nothing new has come for a while: a server that has died says
 * nothing. The time that the reader takes does not count. `open` must end when its signal aborts.
 *
 * @throws {OperationError} ETIMEDOUT.
 */
export async function* withProgress<Item>(
  clock: Clock,
  { waitMsMax, signal }: ProgressBounds,
  open: (options: { readonly signal: AbortSignal }) => AsyncIterable<Item>,
): AsyncGenerator<Item> {
  const cancel = new AbortController()
  const either = signal === undefined ? cancel.signal : AbortSignal.any([cancel.signal, signal])
  const waiting: Waiting = { sinceMs: clock.monotonicMs() }
  // One watch for all items: a timer for each costs more than the items do.
  const late = watch(clock, waitMsMax, { waiting, signal: cancel.signal }).then(
    () => cancel.abort(),
    () => undefined,
  )
  try {
    for await (const item of open({ signal: either })) {
      waiting.sinceMs = undefined
      yield item
      waiting.sinceMs = clock.monotonicMs()
    }
  } catch (error) {
    if (!cancel.signal.aborted) throw error
    throw new OperationError('ETIMEDOUT', `no answer from the server for ${waitMsMax / 1000} s`, {
      cause: error,
    })
  } finally {
    cancel.abort()
    await late
  }
}

interface Waiting {
  /** On the monotonic clock; undefined while nobody waits. */
  sinceMs: number | undefined
}

/** Resolves when somebody has waited for too long. */
async function watch(
  clock: Clock,
  waitMsMax: number,
  { waiting, signal }: { readonly waiting: Waiting; readonly signal: AbortSignal },
): Promise<void> {
  for (;;) {
    await clock.sleep(waitMsMax / 4, signal)
    const { sinceMs } = waiting
    if (sinceMs !== undefined && clock.monotonicMs() - sinceMs >= waitMsMax) return
  }
}
