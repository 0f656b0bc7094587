import type { LentChunk } from './chunks.ts'

/** How many chunks are read ahead of whoever takes them. */
const aheadCount = 4

/** A chunk for each item, in their order, some of them read before they are asked for. */
export async function* lentAhead<Item>(
  items: AsyncIterable<Item> | Iterable<Item>,
  lend: (item: Item) => Promise<LentChunk>,
): AsyncGenerator<readonly [Item, LentChunk]> {
  const ahead: (readonly [Item, Promise<LentChunk>])[] = []
  try {
    for await (const item of items) {
      const chunk = lend(item)
      chunk.catch(() => undefined) // the reader may be gone when it fails
      ahead.push([item, chunk])
      if (ahead.length <= aheadCount) continue
      const next = ahead.shift()
      if (next !== undefined) yield [next[0], await next[1]]
    }
    for (let next = ahead.shift(); next !== undefined; next = ahead.shift()) {
      yield [next[0], await next[1]]
    }
  } finally {
    for (const [, chunk] of ahead) {
      chunk.then(
        (lent) => lent.giveBack(),
        () => undefined, // nobody asked for it
      )
    }
  }
}
