import type { Clock } from '../../base/clock.ts'

/** News come at most this often. */
const intervalMs = 100

export interface News<Value> {
  readonly value: Value
  /** It is what the work returned. */
  readonly isLast: boolean
}

/**
 * Runs `work`, and yields the latest of what it tells, about ten times a second and as often as the reader
 * takes it; last of all, what it returns. The work's signal aborts when the reader leaves.
 */
export async function* latestOf<Value>(
  work: (tell: (value: Value) => void, signal: AbortSignal) => Promise<Value>,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): AsyncGenerator<News<Value>> {
  const stop = new AbortController()
  let latest: { readonly value: Value } | undefined
  let hasNews = Promise.withResolvers<undefined>()
  let isOver = false
  const tell = (value: Value): void => {
    latest = { value }
    hasNews.resolve(undefined)
  }
  const done = work(tell, AbortSignal.any([signal, stop.signal])).finally(() => {
    isOver = true
    hasNews.resolve(undefined)
    stop.abort() // whoever sleeps here has slept enough
  })
  done.catch(() => undefined) // awaited below, unless the reader is gone
  try {
    for (;;) {
      await hasNews.promise
      if (isOver) break
      hasNews = Promise.withResolvers()
      const news = latest
      latest = undefined
      if (news !== undefined) yield { isLast: false, value: news.value }
      await clock.sleep(intervalMs, stop.signal).catch(() => undefined)
    }
    yield { isLast: true, value: await done }
  } finally {
    stop.abort()
    await Promise.allSettled([done])
  }
}
