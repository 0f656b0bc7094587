/**
 * A sequence that comes in batches, none of them empty. Whoever does little for each item takes the batches, and
 * waits once for many; everybody else goes through the items. Either can be done once.
 */
export class Batched<Item> implements AsyncIterable<Item> {
  readonly batches: AsyncIterable<readonly Item[]>

  constructor(batches: AsyncIterable<readonly Item[]>) {
    this.batches = batches
  }

  map<Other>(change: (item: Item) => Other): Batched<Other> {
    return new Batched(changed(this.batches, change))
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item> {
    for await (const batch of this.batches) for (const item of batch) yield item
  }
}

/** Items up to `countMax` at a time; an end short of that gives what there is. */
export async function* inBatches<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  countMax: number,
): AsyncGenerator<readonly Item[]> {
  let batch: Item[] = []
  if (Symbol.asyncIterator in items) {
    for await (const item of items) {
      batch.push(item)
      if (batch.length < countMax) continue
      yield batch
      batch = []
    }
  } else {
    for (const item of items) {
      batch.push(item)
      if (batch.length < countMax) continue
      yield batch
      batch = []
    }
  }
  if (batch.length > 0) yield batch
}

async function* changed<Item, Other>(
  batches: AsyncIterable<readonly Item[]>,
  change: (item: Item) => Other,
): AsyncGenerator<readonly Other[]> {
  for await (const batch of batches) yield batch.map(change)
}
