import { CancelledError } from '../base/errors.ts'
import type { Log } from './log.ts'

/**
 * Starts work that goes on beside the calls. Disposing aborts its signal and waits for its end; a
 * failure is written to the log, and the server goes on without it.
 */
export function startBackgroundTask(
  what: string,
  log: Log,
  work: (signal: AbortSignal) => Promise<void>,
): AsyncDisposable {
  const stop = new AbortController()
  const ended = work(stop.signal).catch((error: unknown) => {
    if (stop.signal.aborted && error instanceof CancelledError) return
    log.warning(`${what} failed`, { error: error instanceof Error ? error.message : String(error) })
  })
  return {
    async [Symbol.asyncDispose]() {
      stop.abort()
      await ended
    },
  }
}
