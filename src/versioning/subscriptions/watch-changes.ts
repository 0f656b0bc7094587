import { CancelledError } from '../../base/errors.ts'
import type { Database, DatabaseEvent } from '../../database/database.ts'

/** Tells that something may have changed; what has is read from the tables. */
export interface Changes extends AsyncDisposable {
  /** Resolves after the next event. @throws {CancelledError} when the signal aborts. */
  next(): Promise<void>
}

/** Watches from the moment of the call, so that what is read after it misses nothing. */
export function watchChanges(
  database: Database,
  options: {
    readonly topics: readonly string[]
    readonly signal: AbortSignal
    readonly matches?: (event: DatabaseEvent) => boolean
  },
): Changes {
  const ended = new AbortController()
  const signal = AbortSignal.any([options.signal, ended.signal])
  const events = database.watch([...new Set(options.topics)], { signal })[Symbol.asyncIterator]()
  return {
    async next() {
      for (;;) {
        const event = await events.next()
        if (event.done === true) throw new CancelledError('the wait for commits was cancelled')
        if (options.matches?.(event.value) ?? true) return
      }
    },
    async [Symbol.asyncDispose]() {
      ended.abort()
      await events.return?.()
    },
  }
}
