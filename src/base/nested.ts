/** In a sequence: what comes in its place is that of `open`. */
export class Nested<Sequence> {
  readonly open: () => Sequence

  constructor(open: () => Sequence) {
    this.open = open
  }
}

export type NestedItems<Item> = AsyncIterable<Item | Nested<NestedItems<Item>>>

export type NestedItemsSync<Item> = Iterable<Item | Nested<NestedItemsSync<Item>>>

/**
 * The items of a sequence of sequences, however deep these are nested: `yield*` would go down all of
 * them for each item, and ends in an overflow of the stack when they are thousands.
 */
export async function* flat<Item>(items: NestedItems<Item>): AsyncGenerator<Item> {
  const open = [items[Symbol.asyncIterator]()]
  try {
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const next = await top.next()
      if (next.done === true) open.pop()
      else if (next.value instanceof Nested) open.push(next.value.open()[Symbol.asyncIterator]())
      else yield next.value
    }
  } finally {
    for (const iterator of open.toReversed()) await iterator.return?.()
  }
}

/** As `flat`, of what need not be waited for. */
export function* flatSync<Item>(items: NestedItemsSync<Item>): Generator<Item> {
  const open = [items[Symbol.iterator]()]
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const next = top.next()
    if (next.done === true) open.pop()
    else if (next.value instanceof Nested) open.push(next.value.open()[Symbol.iterator]())
    else yield next.value
  }
}
