import type { Clock } from '../base/clock.ts'
import type { StoreWait } from '../base/store-waits.ts'
import type { WaitPorts } from '../clouds/told-waits.ts'
import type { Log } from './log.ts'

/** What was told longer ago, and not again, is not waited for any more. */
const staleMs = 35_000

interface Noted {
  readonly wait: StoreWait
  readonly atMs: number
}

/** A wait, and how long ago it was told. */
export interface NotedWait extends StoreWait {
  readonly notedMsAgo: number
}

/** The object stores that a server asks in vain: told in its log, and to whoever asks about one of them. */
export class StoreWaits implements WaitPorts {
  readonly clock: Clock
  readonly #log: Log
  readonly #noted = new Map<string, Noted>()

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.clock = clock
    this.#log = log
  }

  readonly tell = (wait: StoreWait): void => {
    this.#forgetStale()
    this.#noted.set(keyOf(wait), { wait, atMs: this.clock.monotonicMs() })
    const { bucket, endpoint, waitedMs, error } = wait
    const facts = { bucket, endpoint, waitedMs, error }
    this.#log.warning('an object store does not answer, and is asked again', facts)
  }

  readonly tellOver = (store: Pick<StoreWait, 'bucket' | 'endpoint'>): void => {
    this.#noted.delete(keyOf(store))
    const { bucket, endpoint } = store
    this.#log.info('the object store answers', { bucket, endpoint })
  }

  /** Of a bucket as its URL names it: `s3://BUCKET`, `as://CONTAINER`, whatever its account. */
  of(bucket: string): readonly NotedWait[] {
    this.#forgetStale()
    const nowMs = this.clock.monotonicMs()
    return [...this.#noted.values()].flatMap(({ wait, atMs }) =>
      wait.bucket.replace(/^as:\/\/.*\//, 'as://') === bucket
        ? [{ ...wait, notedMsAgo: Math.round(nowMs - atMs) }]
        : [],
    )
  }

  #forgetStale(): void {
    const nowMs = this.clock.monotonicMs()
    for (const [key, { atMs }] of this.#noted) if (nowMs - atMs > staleMs) this.#noted.delete(key)
  }
}

function keyOf({ bucket, endpoint }: Pick<StoreWait, 'bucket' | 'endpoint'>): string {
  return `${bucket} ${endpoint}`
}
