import { compareBytes } from '../../base/bytes.ts'
import type { ChunkId } from '../chunks.ts'
import type { MapDifference } from './map-entries.ts'
import type { NodeStore } from './node-store.ts'
import type { Node } from './node.ts'

interface Frame {
  readonly node: Node
  index: number
}

/** The level of the thing ahead when it is an entry of a leaf. */
const entryLevel = -1
/** About what a leaf has. */
const batchCountMax = 128

/** Goes through a tree in key order; what lies ahead is an entry or a whole subtree. */
class TreeWalk {
  readonly #store: NodeStore
  readonly #frames: Frame[]

  constructor(store: NodeStore, root: Node) {
    this.#store = store
    this.#frames = root.count === 0 ? [] : [{ node: root, index: 0 }]
  }

  /** Goes on to the first entry that is not before `key`; what is ahead may be there already. */
  async seek(key: Uint8Array): Promise<void> {
    for (let frame = this.frame; frame !== undefined; frame = this.frame) {
      frame.index = frame.node.lowerBound(key, frame.index)
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

  /** Steps into the subtree ahead; at once, and undefined, when its node is in memory. */
  enter(): Promise<void> | undefined {
    const frame = this.frame
    if (frame === undefined) return undefined
    const node = this.#store.get(frame.node.childIdAt(frame.index))
    if (node instanceof Promise) return this.#enterLoaded(node)
    this.#frames.push({ node, index: 0 })
    return undefined
  }

  async #enterLoaded(node: Promise<Node>): Promise<void> {
    this.#frames.push({ node: await node, index: 0 })
  }
}

function levelAhead(frame: Frame): number {
  return frame.node.level - 1
}

function idAhead(frame: Frame): ChunkId {
  return frame.node.childIdAt(frame.index)
}

/**
 * The differences between two trees in key order. Equal subtrees are skipped unread, so the cost
 * follows the number of differences.
 */
export class TreeDiff {
  readonly #old: TreeWalk
  readonly #young: TreeWalk

  constructor(store: NodeStore, before: Node, after: Node) {
    this.#old = new TreeWalk(store, before)
    this.#young = new TreeWalk(store, after)
  }

  /** Passes over what is before `key`. */
  async seek(key: Uint8Array): Promise<void> {
    await this.#old.seek(key)
    await this.#young.seek(key)
  }

  /** The next difference, at once where no node must be loaded for it; undefined at the end. */
  next(): Promise<MapDifference | undefined> | MapDifference | undefined {
    const [old, young] = [this.#old, this.#young]
    for (;;) {
      const left = old.frame
      const right = young.frame
      if (left === undefined && right === undefined) return undefined
      const leftLevel = left === undefined ? entryLevel : levelAhead(left)
      const rightLevel = right === undefined ? entryLevel : levelAhead(right)
      if (leftLevel === entryLevel && rightLevel === entryLevel) {
        const order = compareHeads(left, right)
        const difference = differenceAt(left, right, order)
        if (order <= 0) old.advance()
        if (order >= 0) young.advance()
        if (difference !== undefined) return difference
      } else if (isSameAhead(left, right)) {
        old.advance()
        young.advance()
      } else {
        const entered = leftLevel >= rightLevel ? old.enter() : undefined
        const alsoEntered = rightLevel >= leftLevel ? young.enter() : undefined
        if (entered !== undefined || alsoEntered !== undefined) {
          return this.#nextAfter(entered, alsoEntered)
        }
      }
    }
  }

  async #nextAfter(
    entered: Promise<void> | undefined,
    alsoEntered: Promise<void> | undefined,
  ): Promise<MapDifference | undefined> {
    await entered
    await alsoEntered
    return this.next()
  }
}

/** All differences of a `TreeDiff`, in batches. */
export async function* diffTrees(
  store: NodeStore,
  before: Node,
  after: Node,
): AsyncGenerator<readonly MapDifference[]> {
  const diff = new TreeDiff(store, before, after)
  let batch: MapDifference[] = []
  for (;;) {
    const next = diff.next()
    const difference = next instanceof Promise ? await next : next
    if (difference === undefined) break
    batch.push(difference)
    if (batch.length < batchCountMax) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

/** Whether the same subtree is ahead on both sides. */
function isSameAhead(left: Frame | undefined, right: Frame | undefined): boolean {
  if (left === undefined || right === undefined || left.node.level !== right.node.level) {
    return false
  }
  return idAhead(left) === idAhead(right)
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
