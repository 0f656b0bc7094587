import { CancelledError } from '../../base/errors.ts'

/**
 * What `promise` comes to, for as long as it is wanted. `text` says what was cancelled.
 *
 * @throws {CancelledError} when `signal` aborts; what goes on then is nobody's.
 */
export async function unlessAborted<Value>(
  promise: Promise<Value>,
  signal: AbortSignal,
  text: string,
): Promise<Value> {
  const cancelled = Promise.withResolvers<never>()
  const cancel = (): void => cancelled.reject(new CancelledError(text))
  // Whichever comes later is not heard.
  cancelled.promise.catch(() => {})
  promise.catch(() => {})
  signal.addEventListener('abort', cancel, { once: true })
  if (signal.aborted) cancel()
  try {
    return await Promise.race([promise, cancelled.promise])
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}
