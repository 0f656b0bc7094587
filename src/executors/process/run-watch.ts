import type { Clock } from '../../base/clock.ts'

/** Looks again and again at what runs, for as long as something does. */
export abstract class RunWatch<Run> implements AsyncDisposable {
  protected readonly clock: Clock
  /** What is watched; a look may take some out. */
  protected readonly runs: Set<Run> = new Set<Run>()
  readonly #firstWaitMs: number
  readonly #closing = new AbortController()
  #loop: Promise<void> | undefined

  constructor(clock: Clock, firstWaitMs: number) {
    this.clock = clock
    this.#firstWaitMs = firstWaitMs
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    await this.#loop
  }

  protected get isClosing(): boolean {
    return this.#closing.signal.aborted
  }

  /** Looks at all that runs; tells in how many milliseconds to look again. */
  protected abstract look(): number | Promise<number>

  /** Watches until what comes is disposed of. */
  protected add(run: Run): Disposable {
    this.runs.add(run)
    this.#loop ??= this.#lookOn()
    return { [Symbol.dispose]: () => void this.runs.delete(run) }
  }

  /** What cannot be looked at now, such as a directory that is just going, may be the next time. */
  async #lookOnce(): Promise<number> {
    try {
      return await this.look()
    } catch {
      return this.#firstWaitMs
    }
  }

  async #lookOn(): Promise<void> {
    let waitMs = this.#firstWaitMs
    while (!this.#closing.signal.aborted) {
      try {
        await this.clock.sleep(waitMs, this.#closing.signal)
      } catch {
        break
      }
      if (this.runs.size === 0) break
      waitMs = await this.#lookOnce()
    }
    this.#loop = undefined
  }
}
