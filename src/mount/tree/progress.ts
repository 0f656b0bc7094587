import type { Clock } from '../../base/clock.ts'
import { OperationError } from '../errors.ts'

export interface ProgressBounds {
  /** The longest time without anything new. */
  readonly waitMsMax: number
  readonly signal?: AbortSignal
}

/**
 * What `open` yields, given up when nothing new has come for a while: a server that has died says
 * nothing. The time that the reader takes does not count.
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
  const items = open({ signal: either })[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await within(clock, waitMsMax, items.next())
      if (next.done === true) return
      yield next.value
    }
  } finally {
    cancel.abort()
    // Not awaited: what does not go on cannot end either, and is cancelled.
    items.return?.().catch(() => undefined)
  }
}

async function within<Value>(clock: Clock, ms: number, waiting: Promise<Value>): Promise<Value> {
  const timer = new AbortController()
  const late = clock.sleep(ms, timer.signal).then(() => {
    throw new OperationError('ETIMEDOUT', `nothing came from the server for ${ms / 1000} s`, {
      cause: 'a server that does not answer',
    })
  })
  late.catch(() => undefined)
  try {
    return await Promise.race([waiting, late])
  } finally {
    timer.abort()
    waiting.catch(() => undefined)
  }
}
