import { assert } from '../../base/errors.ts'
import { chunkIdBytes, chunkIdBytesCount } from '../chunk-id.ts'
import { BoundaryRule, keyBytesMax, valueBytesMax } from './boundaries.ts'
import type { NodeRef, NodeSink } from './node-store.ts'
import { levelMax, nodeHeaderBytes, nodeVersion } from './node.ts'
import { varintBytesMax, writeVarint } from './varint.ts'

/** Cuts the sorted entries of one level into nodes. */
export interface LevelWriter<Value> {
  /** Adds an entry behind all others; true when the node is complete and must be closed now. */
  append(key: Uint8Array, value: Value): boolean
  /** True when the next entry begins a node. */
  readonly isAtBoundary: boolean
  /** Ends the node that is being written, which must hold an entry. */
  close(): Promise<NodeRef>
}

const initialBytes = 8 * 1024
const noKey = new Uint8Array(0)

/** Bytes of a node in the making; keys share the prefix of the key before. */
class NodeBytes {
  #bytes = new Uint8Array(initialBytes)
  #size = nodeHeaderBytes
  #previousKey: Uint8Array = noKey
  count = 0

  addKey(key: Uint8Array, valueBytes: number | undefined): void {
    const { length } = this.#previousKey
    const limit = Math.min(length, key.length)
    let shared = 0
    while (shared < limit && key[shared] === this.#previousKey[shared]) shared += 1
    assert(
      this.count === 0 ||
        (shared < key.length &&
          (shared === length || (key[shared] ?? 0) > (this.#previousKey[shared] ?? 0))),
      'keys of a map are added in ascending order, each once',
    )
    this.#reserve(key.length - shared + 3 * varintBytesMax)
    let at = writeVarint(this.#bytes, this.#size, shared)
    at = writeVarint(this.#bytes, at, key.length - shared)
    if (valueBytes !== undefined) at = writeVarint(this.#bytes, at, valueBytes)
    for (let index = shared; index < key.length; index += 1) {
      this.#bytes[at] = key[index] ?? 0
      at += 1
    }
    this.#size = at
    this.#previousKey = key
    this.count += 1
  }

  addBytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#size)
    this.#size += bytes.length
  }

  addVarint(value: number): void {
    this.#reserve(varintBytesMax)
    this.#size = writeVarint(this.#bytes, this.#size, value)
  }

  get lastKey(): Uint8Array {
    return this.#previousKey
  }

  /** The finished node; begins the next. */
  take(level: number): Uint8Array {
    this.#bytes[0] = nodeVersion
    this.#bytes[1] = level
    this.#bytes[2] = this.count & 0xff
    this.#bytes[3] = this.count >>> 8
    const bytes = this.#bytes.slice(0, this.#size)
    this.#size = nodeHeaderBytes
    this.#previousKey = noKey
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
    this.#node.addKey(key, value.length)
    this.#node.addBytes(value)
    return this.#rule.endsAfter(key, value.length)
  }

  close(): Promise<NodeRef> {
    const { count, lastKey } = this.#node
    this.#rule.restart()
    return this.#sink.write(this.#node.take(0), lastKey.slice(), count)
  }
}

/** Writes a level above 0, whose entries name the nodes of the level below. */
export class ParentWriter implements LevelWriter<NodeRef> {
  readonly #sink: NodeSink
  readonly #level: number
  readonly #rule: BoundaryRule
  #children: NodeRef[] = []

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
    return this.#rule.endsAfter(key, chunkIdBytesCount)
  }

  async close(): Promise<NodeRef> {
    const children = this.#children
    this.#children = []
    this.#rule.restart()
    const node = new NodeBytes()
    let entryCount = 0
    for (const child of children) {
      const stored = this.#sink.idOf(child)
      const id = typeof stored === 'string' ? stored : await stored
      node.addKey(child.lastKey, undefined)
      node.addBytes(chunkIdBytes(id))
      node.addVarint(child.entryCount)
      entryCount += child.entryCount
    }
    const { lastKey } = node
    return this.#sink.write(node.take(this.#level), lastKey, entryCount)
  }
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
