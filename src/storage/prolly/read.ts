import type { KeyRange, MapEntry } from './map-entries.ts'
import { LevelCursor } from './cursor.ts'
import type { NodeStore } from './node-store.ts'
import type { Node } from './node.ts'

/** The value at `key`; reads one node a level. */
export async function getValue(
  store: NodeStore,
  root: Node,
  key: Uint8Array,
): Promise<Uint8Array | undefined> {
  let node = root
  for (;;) {
    const index = node.lowerBound(key)
    if (index === node.count) return undefined
    if (node.level === 0) {
      return node.compareKey(index, key) === 0 ? node.valueAt(index) : undefined
    }
    const child = store.get(node.childIdAt(index))
    node = child instanceof Promise ? await child : child
  }
}

const noKey = new Uint8Array(0)

/** Entries of one leaf, from one index up to another; there is one at least. */
export interface LeafPart {
  readonly leaf: Node
  readonly from: number
  readonly to: number
}

/** The entries of a range in key order; holds one node a level. */
export async function* scanLeaves(
  store: NodeStore,
  root: Node,
  range: KeyRange,
): AsyncGenerator<LeafPart> {
  const { from: firstKey = noKey, to: endKey } = range
  const cursor = new LevelCursor(store, root, 0)
  await cursor.seek(firstKey)
  let from = cursor.node.lowerBound(firstKey)
  do {
    const { node: leaf } = cursor
    const to = endKey === undefined ? leaf.count : leaf.lowerBound(endKey)
    if (from < to) yield { leaf, from, to }
    if (to < leaf.count) return
    from = 0
  } while (await cursor.next())
}

/** The entries of a leaf, or of a part of it; none for a node above. */
export function* leafEntries(leaf: Node, from = 0, to: number = leaf.count): Generator<MapEntry> {
  if (leaf.level > 0) return
  for (let index = from; index < to; index += 1) {
    yield { key: leaf.keyAt(index), value: leaf.valueAt(index) }
  }
}
