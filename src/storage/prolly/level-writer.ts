import { assert } from '../../base/errors.ts'
import { chunkIdBytes, chunkIdBytesCount } from '../chunk-id.ts'
import { BoundaryRule, keyBytesMax, valueBytesMax } from './boundaries.ts'
import type { NodeRef, NodeSink } from './node-store.ts'
import { levelMax, type Node, nodeHeaderBytes, nodeVersion } from './node.ts'
import { writeVarint } from '../../base/wire-writer.ts'
import { varintBytesMax } from './varint.ts'

/** Cuts the sorted entries of one level into nodes. */
export interface LevelWriter<Value> {
  /** Adds an entry behind all others; true when the node is complete and must be closed now. */
  append(key: Uint8Array, value: Value): boolean
  /** The same for an entry of an old node of the level. */
  copy(node: Node, index: number): boolean
  /** True when the next entry begins a node. */
  readonly isAtBoundary: boolean
  /** Ends the node that is being written, which must hold an entry. */
  close(): Promise<NodeRef>
}

const initialBytes = 8 * 1024
/** Up to this size a loop copies faster than `set` with the view that it needs. */
const copyLoopBytesMax = 128
const noKey = new Uint8Array(0)

/** Bytes of a node in the making; keys share the prefix of the key before. */
class NodeBytes {
  #bytes = new Uint8Array(initialBytes)
  #size = nodeHeaderBytes
  /** The last key, as a range of whatever it came in. */
  #lastBytes: Uint8Array = noKey
  #lastStart = 0
  #lastEnd = 0
  count = 0

  /** Adds the key that `key` holds from `start` to `end`, and keeps a reference to it. */
  addKey(key: Uint8Array, start: number, end: number, valueBytes: number | undefined): void {
    const shared = this.#sharedSize(key, start, end)
    const suffixStart = start + shared
    this.#reserve(end - suffixStart + 3 * varintBytesMax)
    const bytes = this.#bytes
    let at = writeVarint(bytes, this.#size, shared)
    at = writeVarint(bytes, at, end - suffixStart)
    if (valueBytes !== undefined) at = writeVarint(bytes, at, valueBytes)
    for (let index = suffixStart; index < end; index += 1) {
      bytes[at] = key[index] ?? 0
      at += 1
    }
    this.#size = at
    this.#lastBytes = key
    this.#lastStart = start
    this.#lastEnd = end
    this.count += 1
  }

  /** The size of the prefix shared with the last key, which must be smaller. */
  #sharedSize(key: Uint8Array, start: number, end: number): number {
    if (this.count === 0) return 0
    const lastSize = this.#lastEnd - this.#lastStart
    const limit = Math.min(lastSize, end - start)
    let shared = 0
    while (shared < limit && key[start + shared] === this.#lastBytes[this.#lastStart + shared]) {
      shared += 1
    }
    const isGreater =
      shared === limit
        ? end - start > lastSize
        : (key[start + shared] ?? 0) > (this.#lastBytes[this.#lastStart + shared] ?? 0)
    assert(isGreater, 'keys of a map are added in ascending order, each once')
    return shared
  }

  /** Adds what `source` holds from `start` to `end`. */
  addBytes(source: Uint8Array, start: number, end: number): void {
    this.#reserve(end - start)
    const bytes = this.#bytes
    let at = this.#size
    if (end - start > copyLoopBytesMax) {
      bytes.set(source.subarray(start, end), at)
    } else {
      for (let index = start; index < end; index += 1) {
        bytes[at] = source[index] ?? 0
        at += 1
      }
    }
    this.#size += end - start
  }

  addVarint(value: number): void {
    this.#reserve(varintBytesMax)
    this.#size = writeVarint(this.#bytes, this.#size, value)
  }

  /** A copy of the last key. */
  get lastKey(): Uint8Array {
    return this.#lastBytes.slice(this.#lastStart, this.#lastEnd)
  }

  /** The finished node; begins the next. */
  take(level: number): Uint8Array {
    this.#bytes[0] = nodeVersion
    this.#bytes[1] = level
    this.#bytes[2] = this.count & 0xff
    this.#bytes[3] = this.count >>> 8
    const bytes = this.#bytes.slice(0, this.#size)
    this.#size = nodeHeaderBytes
    this.#lastBytes = noKey
    this.count = 0
    return bytes
  }

  #reserve(size: number): void {
    if (this.#size + size <= this.#bytes.length) return
    const larger = new Uint8Array(2 * (this.#size + size))
    larger.set(this.#bytes.subarray(0, this.#size))
    this.#bytes = larger
  }
}

/** The node that a map without entries is. */
export function emptyLeaf(): Uint8Array {
  return new NodeBytes().take(0)
}

/** Writes level 0. Keeps references to keys until the node is closed; values are copied. */
export class LeafWriter implements LevelWriter<Uint8Array> {
  readonly #sink: NodeSink
  readonly #node = new NodeBytes()
  readonly #rule = new BoundaryRule(0)

  constructor(sink: NodeSink) {
    this.#sink = sink
  }

  get isAtBoundary(): boolean {
    return this.#node.count === 0
  }

  append(key: Uint8Array, value: Uint8Array): boolean {
    assert(key.length <= keyBytesMax, `a map key holds at most ${keyBytesMax} bytes`)
    assert(value.length <= valueBytesMax, `a map value holds at most ${valueBytesMax} bytes`)
    this.#node.addKey(key, 0, key.length, value.length)
    this.#node.addBytes(value, 0, value.length)
    return this.#rule.endsAfter(key, 0, key.length, value.length)
  }

  copy(node: Node, index: number): boolean {
    const [start, end] = [node.keyStart(index), node.keyEnd(index)]
    const [valueStart, valueEnd] = [node.valueStart(index), node.valueEnd(index)]
    this.#node.addKey(node.keys, start, end, valueEnd - valueStart)
    this.#node.addBytes(node.bytes, valueStart, valueEnd)
    return this.#rule.endsAfter(node.keys, start, end, valueEnd - valueStart)
  }

  close(): Promise<NodeRef> {
    const { count, lastKey } = this.#node
    this.#rule.restart()
    return this.#sink.write(this.#node.take(0), lastKey, count)
  }
}

/** A child of a node in the making: a new or moved node, or an entry copied from an old parent. */
type Child = NodeRef | { readonly node: Node; readonly index: number }

/** Writes a level above 0, whose entries name the nodes of the level below. */
export class ParentWriter implements LevelWriter<NodeRef> {
  readonly #sink: NodeSink
  readonly #level: number
  readonly #rule: BoundaryRule
  readonly #node = new NodeBytes()
  #children: Child[] = []

  constructor(sink: NodeSink, level: number) {
    assert(level <= levelMax, `a map has at most ${levelMax} levels above its leaves`)
    this.#sink = sink
    this.#level = level
    this.#rule = new BoundaryRule(level)
  }

  get isAtBoundary(): boolean {
    return this.#children.length === 0
  }

  append(key: Uint8Array, child: NodeRef): boolean {
    this.#children.push(child)
    return this.#rule.endsAfter(key, 0, key.length, chunkIdBytesCount)
  }

  copy(node: Node, index: number): boolean {
    this.#children.push({ node, index })
    return this.#rule.endsAfter(
      node.keys,
      node.keyStart(index),
      node.keyEnd(index),
      chunkIdBytesCount,
    )
  }

  async close(): Promise<NodeRef> {
    const children = this.#children
    this.#children = []
    this.#rule.restart()
    const bytes = this.#node
    let entryCount = 0
    for (const child of children) {
      if ('node' in child) {
        entryCount += copyChild(bytes, child.node, child.index)
      } else {
        const stored = this.#sink.idOf(child)
        const id = chunkIdBytes(typeof stored === 'string' ? stored : await stored)
        bytes.addKey(child.lastKey, 0, child.lastKey.length, undefined)
        bytes.addBytes(id, 0, id.length)
        bytes.addVarint(child.entryCount)
        entryCount += child.entryCount
      }
    }
    const { lastKey } = bytes
    return this.#sink.write(bytes.take(this.#level), lastKey, entryCount)
  }
}

function copyChild(bytes: NodeBytes, node: Node, index: number): number {
  const entryCount = node.entryCountAt(index)
  bytes.addKey(node.keys, node.keyStart(index), node.keyEnd(index), undefined)
  bytes.addBytes(node.bytes, node.valueStart(index), node.valueEnd(index))
  bytes.addVarint(entryCount)
  return entryCount
}

/** Grows a tree upwards from the nodes of one level, given in order. */
export class TreeTop {
  readonly #sink: NodeSink
  readonly #level: number
  #only: NodeRef | undefined
  #parents: { readonly writer: ParentWriter; readonly above: TreeTop } | undefined

  constructor(sink: NodeSink, level: number) {
    this.#sink = sink
    this.#level = level
  }

  async add(ref: NodeRef): Promise<void> {
    if (this.#parents !== undefined) {
      await this.#append(this.#parents, ref)
    } else if (this.#only === undefined) {
      this.#only = ref
    } else {
      const writer = new ParentWriter(this.#sink, this.#level + 1)
      this.#parents = { writer, above: new TreeTop(this.#sink, this.#level + 1) }
      await this.#append(this.#parents, this.#only)
      await this.#append(this.#parents, ref)
    }
  }

  /** The root, or undefined when no node was added. */
  async finish(): Promise<NodeRef | undefined> {
    if (this.#parents === undefined) return this.#only
    const { writer, above } = this.#parents
    if (!writer.isAtBoundary) await above.add(await writer.close())
    return above.finish()
  }

  async #append(parents: { writer: ParentWriter; above: TreeTop }, ref: NodeRef): Promise<void> {
    if (parents.writer.append(ref.lastKey, ref))
      await parents.above.add(await parents.writer.close())
  }
}
