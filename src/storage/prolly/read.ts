import type { KeyRange, MapEntry } from '../map-entries.ts'
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

/** The entries of a range in key order; holds one node a level. */
export async function* scanTree(
  store: NodeStore,
  root: Node,
  range: KeyRange,
): AsyncGenerator<MapEntry> {
  const { from = noKey, to } = range
  const cursor = new LevelCursor(store, root, 0)
  await cursor.seek(from)
  let index = cursor.node.lowerBound(from)
  do {
    const { node } = cursor
    const end = to === undefined ? node.count : node.lowerBound(to)
    for (; index < end; index += 1) yield { key: node.keyAt(index), value: node.valueAt(index) }
    if (end < node.count) return
    index = 0
  } while (await cursor.next())
}

/** The entries of a leaf; none for a node above. */
export function* leafEntries(node: Node): Generator<MapEntry> {
  if (node.level > 0) return
  for (let index = 0; index < node.count; index += 1) {
    yield { key: node.keyAt(index), value: node.valueAt(index) }
  }
}
