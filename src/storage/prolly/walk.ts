import { compareBytes } from '../../base/bytes.ts'
import type { ChunkId } from '../chunks.ts'
import type { MapDifference } from '../map-entries.ts'
import type { NodeStore } from './node-store.ts'
import type { Node } from './node.ts'

interface Frame {
  readonly node: Node
  index: number
}

/** The level of the thing ahead when it is an entry of a leaf. */
const entryLevel = -1

/** Goes through a tree in key order; what lies ahead is an entry or a whole subtree. */
class TreeWalk {
  readonly #store: NodeStore
  readonly #frames: Frame[]

  constructor(store: NodeStore, root: Node) {
    this.#store = store
    this.#frames = root.count === 0 ? [] : [{ node: root, index: 0 }]
  }

  /** Goes from the beginning to the first entry that is not before `key`. */
  async seek(key: Uint8Array): Promise<void> {
    for (let frame = this.frame; frame !== undefined; frame = this.frame) {
      frame.index = frame.node.lowerBound(key)
      if (frame.index === frame.node.count) this.#frames.pop()
      else if (frame.node.level === 0) return
      else await this.enter()
    }
  }

  /** The node that holds what lies ahead, and where; undefined at the end. */
  get frame(): Frame | undefined {
    return this.#frames.at(-1)
  }

  /** Passes over the entry or the subtree ahead. */
  advance(): void {
    let frame = this.frame
    while (frame !== undefined) {
      frame.index += 1
      if (frame.index < frame.node.count) return
      this.#frames.pop()
      frame = this.frame
    }
  }

  /** Steps into the subtree ahead. */
  async enter(): Promise<void> {
    const frame = this.frame
    if (frame === undefined) return
    const node = await this.#store.get(frame.node.childIdAt(frame.index))
    this.#frames.push({ node, index: 0 })
  }
}

function levelAhead(frame: Frame): number {
  return frame.node.level - 1
}

function idAhead(frame: Frame): ChunkId {
  return frame.node.childIdAt(frame.index)
}

/**
 * The differences between two trees in key order, from the key `from` on. Equal subtrees are skipped
 * unread, so the cost follows the number of differences.
 */
export async function* diffTrees(
  store: NodeStore,
  before: Node,
  after: Node,
  from?: Uint8Array,
): AsyncGenerator<MapDifference> {
  const old = new TreeWalk(store, before)
  const young = new TreeWalk(store, after)
  if (from !== undefined) {
    await old.seek(from)
    await young.seek(from)
  }
  for (;;) {
    const left = old.frame
    const right = young.frame
    if (left === undefined && right === undefined) return
    const leftLevel = left === undefined ? entryLevel : levelAhead(left)
    const rightLevel = right === undefined ? entryLevel : levelAhead(right)
    if (leftLevel === entryLevel && rightLevel === entryLevel) {
      const order = compareHeads(left, right)
      const difference = differenceAt(left, right, order)
      if (order <= 0) old.advance()
      if (order >= 0) young.advance()
      if (difference !== undefined) yield difference
    } else if (
      leftLevel === rightLevel &&
      left !== undefined &&
      right !== undefined &&
      idAhead(left) === idAhead(right)
    ) {
      old.advance()
      young.advance()
    } else {
      if (leftLevel >= rightLevel) await old.enter()
      if (rightLevel >= leftLevel) await young.enter()
    }
  }
}

/** An exhausted side compares as if it were behind everything. */
function compareHeads(left: Frame | undefined, right: Frame | undefined): number {
  if (left === undefined) return 1
  if (right === undefined) return -1
  return left.node.compareKey(left.index, right.node.keyAt(right.index))
}

function differenceAt(
  left: Frame | undefined,
  right: Frame | undefined,
  order: number,
): MapDifference | undefined {
  const before = order <= 0 ? left?.node.valueAt(left.index) : undefined
  const after = order >= 0 ? right?.node.valueAt(right.index) : undefined
  if (before !== undefined && after !== undefined && compareBytes(before, after) === 0) return
  const key = order <= 0 ? left?.node.keyAt(left.index) : right?.node.keyAt(right.index)
  return key === undefined ? undefined : { key, before, after }
}
