import { compareBytes } from '../base/bytes.ts'

/** What the streams hold at one key, in the order of the streams. */
export interface KeyGroup<Item> {
  readonly key: Uint8Array
  readonly members: readonly { readonly streamIndex: number; readonly item: Item }[]
}

interface Head<Item> {
  readonly streamIndex: number
  readonly iterator: AsyncIterator<Item>
  item: Item
  key: Uint8Array
}

/**
 * Merges streams that are each sorted by key, and groups what has the same key. Holds one item per
 * stream. Streams are opened at the first pull and closed at the end, on break and on throw.
 */
export async function* mergeSorted<Item>(
  streams: readonly AsyncIterable<Item>[],
  keyOf: (item: Item) => Uint8Array,
): AsyncGenerator<KeyGroup<Item>> {
  const iterators = streams.map((stream) => stream[Symbol.asyncIterator]())
  try {
    const heads = new HeadQueue<Item>()
    for (const [streamIndex, iterator] of iterators.entries()) {
      const { done, value } = await iterator.next()
      if (done !== true) heads.push({ streamIndex, iterator, item: value, key: keyOf(value) })
    }
    for (let first = heads.first; first !== undefined; first = heads.first) {
      const { key } = first
      const members: { streamIndex: number; item: Item }[] = []
      for (
        let head: Head<Item> | undefined = first;
        head !== undefined && compareBytes(head.key, key) === 0;
        head = heads.first
      ) {
        members.push({ streamIndex: head.streamIndex, item: head.item })
        const { done, value } = await head.iterator.next()
        if (done === true) {
          heads.dropFirst()
        } else {
          head.item = value
          head.key = keyOf(value)
          heads.sinkFirst()
        }
      }
      yield { key, members }
    }
  } finally {
    await Promise.all(iterators.map(async (iterator) => iterator.return?.()))
  }
}

/** A binary heap of stream heads, by key and then by stream. */
class HeadQueue<Item> {
  readonly #heap: Head<Item>[] = []

  get first(): Head<Item> | undefined {
    return this.#heap[0]
  }

  push(head: Head<Item>): void {
    let index = this.#heap.length
    this.#heap.push(head)
    while (index > 0) {
      const above = (index - 1) >> 1
      if (!this.#swapIfBefore(index, above)) break
      index = above
    }
  }

  dropFirst(): void {
    const last = this.#heap.pop()
    if (last === undefined || this.#heap.length === 0) return
    this.#heap[0] = last
    this.sinkFirst()
  }

  /** Puts the first head in its place after its key has grown. */
  sinkFirst(): void {
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= this.#heap.length) return
      if (this.#isBefore(child + 1, child)) child += 1
      if (!this.#swapIfBefore(child, index)) return
      index = child
    }
  }

  #swapIfBefore(left: number, right: number): boolean {
    const [a, b] = [this.#heap[left], this.#heap[right]]
    if (a === undefined || b === undefined || !this.#isBefore(left, right)) return false
    this.#heap[left] = b
    this.#heap[right] = a
    return true
  }

  #isBefore(left: number, right: number): boolean {
    const [a, b] = [this.#heap[left], this.#heap[right]]
    if (a === undefined || b === undefined) return false
    const order = compareBytes(a.key, b.key)
    return order === 0 ? a.streamIndex < b.streamIndex : order < 0
  }
}
