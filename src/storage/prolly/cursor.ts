import { assert } from '../../base/errors.ts'
import { compareBytes } from '../../base/bytes.ts'
import type { NodeStore } from './node-store.ts'
import type { Node } from './node.ts'

interface Frame {
  readonly node: Node
  index: number
}

/** Stands on one node of a level, and moves forward. */
export class LevelCursor {
  readonly #store: NodeStore
  readonly #level: number
  readonly #root: Node
  /** From the root down to the parent of the current node. */
  #frames: Frame[] = []
  #node: Node

  /** Stands on the root until the first `seek`; `level` is at most the root's. */
  constructor(store: NodeStore, root: Node, level: number) {
    assert(level <= root.level, 'a cursor stands on a level of its tree')
    this.#store = store
    this.#level = level
    this.#root = root
    this.#node = root
  }

  get node(): Node {
    return this.#node
  }

  /** True on the level's last node. */
  get isLast(): boolean {
    for (const frame of this.#frames) if (frame.index + 1 < frame.node.count) return false
    return true
  }

  /** Moves to the node that holds `key` or would: the first that does not end before it, else the last. */
  async seek(key: Uint8Array): Promise<void> {
    const frames = this.#frames
    // The subtrees that end before the key are left; what is above them is still right.
    while (frames.length > 0) {
      const lastKey = frames.at(-1)?.node.lastKey
      if (lastKey !== undefined && compareBytes(key, lastKey) <= 0) break
      frames.pop()
    }
    const parent = frames.at(-1)
    let node = this.#root
    if (parent !== undefined) {
      node = parent.node
      frames.pop()
    }
    while (node.level > this.#level) {
      const index = Math.min(node.lowerBound(key), node.count - 1)
      frames.push({ node, index })
      const child = this.#store.get(node.childIdAt(index))
      node = child instanceof Promise ? await child : child
    }
    this.#node = node
  }

  /** Moves to the next node of the level; false when there is none. */
  async next(): Promise<boolean> {
    if (this.isLast) return false
    const frames = this.#frames
    let frame = frames.at(-1)
    while (frame !== undefined && frame.index + 1 >= frame.node.count) {
      frames.pop()
      frame = frames.at(-1)
    }
    if (frame === undefined) return false
    frame.index += 1
    let node = await this.#store.get(frame.node.childIdAt(frame.index))
    while (node.level > this.#level) {
      frames.push({ node, index: 0 })
      node = await this.#store.get(node.childIdAt(0))
    }
    this.#node = node
    return true
  }
}
