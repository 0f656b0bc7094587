/**
 * A stretch of work on a datum that may be ended from outside before its time. What ends it first
 * stands. Also ends, without a reason, when `outer` aborts.
 */
export class Interruption implements Disposable {
  readonly #own = new AbortController()
  readonly #outer: AbortSignal
  #reason: string | undefined

  constructor(outer: AbortSignal) {
    this.#outer = outer
    if (outer.aborted) this.#own.abort()
    else outer.addEventListener('abort', this.#follow)
  }

  readonly #follow = (): void => this.#own.abort()

  get signal(): AbortSignal {
    return this.#own.signal
  }

  /** Why it was ended, in words for people; undefined while it was not, or `outer` has aborted. */
  get reason(): string | undefined {
    return this.#outer.aborted ? undefined : this.#reason
  }

  end(reason: string): void {
    this.#reason ??= reason
    this.#own.abort()
  }

  /** Lets go of `outer`. */
  [Symbol.dispose](): void {
    this.#outer.removeEventListener('abort', this.#follow)
  }
}
