/** Results that wait for one before them are kept up to this count: each is small. */
const waitingMaxUsual = 4096

/**
 * The results of `work` on every item, in the order of the items, though up to `count` are worked on at
 * once, and `waitingMax` are under way or done. Items are taken when there is room for them. After a failure, or when the reader leaves, the signal
 * of what is under way aborts, and all of it has ended before this ends.
 */
export async function* inOrder<Item, Result>(
  items: AsyncIterable<Item>,
  count: number,
  work: (item: Item, signal: AbortSignal) => Promise<Result>,
  waitingMax: number = waitingMaxUsual,
): AsyncGenerator<Result> {
  const stop = new AbortController()
  const line = new Line<Result>()
  const source = items[Symbol.asyncIterator]()
  let isAtEnd = false
  try {
    for (;;) {
      while (!isAtEnd && line.runningCount < count && line.length < waitingMax) {
        line.requireNoFailure()
        const next = await source.next()
        if (next.done === true) isAtEnd = true
        else line.add(work(next.value, stop.signal))
        if (line.isFirstDone) break
      }
      if (line.length === 0 && isAtEnd) return
      const first = await line.first()
      if (first !== undefined) yield first.result
    }
  } finally {
    stop.abort()
    await line.ended()
    await source.return?.()
  }
}

interface Entry<Result> {
  readonly done: Promise<void>
  result: { readonly result: Result } | undefined
}

/** What is worked on, or done and waiting for its turn. */
class Line<Result> {
  #entries: Entry<Result>[] = []
  #runningCount = 0
  #failures: unknown[] = []
  #changed = Promise.withResolvers<undefined>()

  get length(): number {
    return this.#entries.length
  }

  get runningCount(): number {
    return this.#runningCount
  }

  get isFirstDone(): boolean {
    return this.#entries[0]?.result !== undefined
  }

  add(working: Promise<Result>): void {
    this.#runningCount += 1
    const entry: Entry<Result> = {
      result: undefined,
      done: working
        .then(
          (result) => {
            entry.result = { result }
          },
          (error: unknown) => {
            this.#failures.push(error)
          },
        )
        .then(() => {
          this.#runningCount -= 1
          this.#changed.resolve(undefined)
        }),
    }
    this.#entries.push(entry)
  }

  requireNoFailure(): void {
    if (this.#failures.length > 0) throw this.#failures[0]
  }

  /** The first, when it is done; undefined when another was done before it. Throws a failure. */
  async first(): Promise<{ readonly result: Result } | undefined> {
    if (!this.isFirstDone) await this.#changed.promise
    this.#changed = Promise.withResolvers<undefined>()
    this.requireNoFailure()
    if (!this.isFirstDone) return undefined
    return this.#entries.shift()?.result
  }

  async ended(): Promise<void> {
    await Promise.all(this.#entries.map(({ done }) => done))
  }
}
