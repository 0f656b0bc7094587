/**
 * Runs `work` on every item, at most `count` at once, which may change, in order of their start. After a
 * failure, be it of the items themselves, no other is begun; the first one is thrown when all that had begun
 * has ended.
 */
export async function inParallel<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  count: number | (() => number),
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const countNow = typeof count === 'number' ? () => count : count
  const running = new Set<Promise<void>>()
  const failures: unknown[] = []
  try {
    for await (const item of items) {
      if (failures.length > 0) break
      const done: Promise<void> = work(item)
        .catch((error: unknown) => {
          failures.push(error)
        })
        .finally(() => running.delete(done))
      running.add(done)
      while (running.size >= countNow()) await Promise.race(running)
    }
  } catch (error) {
    failures.push(error)
  }
  await Promise.all(running)
  if (failures.length > 0) throw failures[0]
}

/** The same items, of which the next is asked for while one is at hand. Ends when all that was asked for has. */
export async function* oneAhead<Item>(items: AsyncIterable<Item>): AsyncGenerator<Item> {
  const iterator = items[Symbol.asyncIterator]()
  const ask = (): Promise<IteratorResult<Item>> => {
    const asked = iterator.next()
    // Whoever waits for it sees its failure; until then it must not count as unhandled.
    asked.catch(() => undefined)
    return asked
  }
  let next = ask()
  try {
    for (let { done, value } = await next; done !== true; { done, value } = await next) {
      next = ask()
      yield value
    }
  } finally {
    await Promise.allSettled([next])
    await iterator.return?.()
  }
}

/**
 * What `read` gives of every item, in their order; up to `count` are read before they are asked for. When
 * one fails, or nobody asks any more, no other is begun, and it ends when all that had begun have.
 */
export async function* ahead<Item, Result>(
  items: Iterable<Item>,
  count: number,
  read: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const running: Promise<Result>[] = []
  try {
    for (const item of items) {
      const result = read(item)
      // Whoever waits for it sees its failure; until then it must not count as unhandled.
      result.catch(() => undefined)
      running.push(result)
      if (running.length < count) continue
      for (const next of running.splice(0, 1)) yield await next
    }
    while (running.length > 0) for (const next of running.splice(0, 1)) yield await next
  } finally {
    await Promise.allSettled(running)
  }
}
