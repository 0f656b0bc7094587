import type { Clock } from '../base/clock.ts'
import { NotFoundError, UnavailableError } from '../base/errors.ts'
import type { StoreWait } from '../base/store-waits.ts'

/** Whom to tell. */
export interface WaitPorts {
  readonly clock: Clock
  readonly tell: (wait: StoreWait) => void
  /** That a store which was told of answers again. */
  readonly tellOver: (store: Pick<StoreWait, 'bucket' | 'endpoint'>) => void
}

/** Nobody has to know of what passes sooner. */
const untoldMs = 3000
/** How long it stays at one notice. */
const againMs = 30_000

/** Tells of one bucket when it is asked in vain, so that nobody waits without knowing for what. */
export class ToldWaits {
  readonly #ports: WaitPorts
  readonly #bucket: { readonly name: string; readonly endpoint: string }
  /** Since when there was no answer. */
  #sinceMs: number | undefined
  #toldMs = -Infinity
  #isTold = false
  #error: string | undefined

  constructor(ports: WaitPorts, bucket: { readonly name: string; readonly endpoint: string }) {
    this.#ports = ports
    this.#bucket = bucket
  }

  /** Does `ask`, and tells while it gives no answer. */
  async answered<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    const done = new AbortController()
    const watched = this.#watch(done.signal).catch(() => undefined) // it has come to its end
    try {
      return await this.sent(ask)
    } finally {
      done.abort()
      await watched
    }
  }

  /** The same for what may take its time, such as an upload: tells only of failures. */
  async sent<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    this.#sinceMs ??= this.#ports.clock.monotonicMs()
    try {
      const answer = await ask()
      this.#heard()
      return answer
    } catch (error) {
      // Who repeats it repeats it after these.
      if (error instanceof UnavailableError || error instanceof NotFoundError) this.#failed(error)
      else this.#heard()
      throw error
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#ports.clock.sleep(untoldMs, signal)
      this.#tell()
    }
  }

  #heard(): void {
    this.#sinceMs = undefined
    this.#error = undefined
    if (!this.#isTold) return
    this.#isTold = false
    const { name: bucket, endpoint } = this.#bucket
    this.#ports.tellOver({ bucket, endpoint })
  }

  #failed({ message }: Error): void {
    this.#error = message
    this.#tell()
  }

  #tell(): void {
    const { clock, tell } = this.#ports
    const nowMs = clock.monotonicMs()
    const waitedMs = nowMs - (this.#sinceMs ?? nowMs)
    if (waitedMs < untoldMs || nowMs - this.#toldMs < againMs) return
    this.#toldMs = nowMs
    this.#isTold = true
    const { name: bucket, endpoint } = this.#bucket
    tell({ bucket, endpoint, waitedMs: Math.round(waitedMs), error: this.#error })
  }
}
