import { inBatches } from '../base/batched.ts'
import { compareBytes } from '../base/bytes.ts'
import type { ChunkId, ChunkStore } from './chunks.ts'
import type { KeyRange, MapDifference, MapEdit, MapEntry } from './prolly/map-entries.ts'
import { batchEditsMax } from './prolly/edit-queue.ts'
import { editMap } from './prolly/edit.ts'
import { emptyLeaf } from './prolly/level-writer.ts'
import { type ConflictResolver, mergeEdits } from './prolly/merge.ts'
import { KeptNodes, NodeStore } from './prolly/node-store.ts'
import { Node } from './prolly/node.ts'
import { getValue, leafEntries, scanLeaves } from './prolly/read.ts'
import { TreeDiff } from './prolly/walk.ts'

export type { KeyRange, MapDifference, MapEdit, MapEntry } from './prolly/map-entries.ts'

/** The root node of a map: equal maps have equal roots. */
export type MapRoot = ChunkId

export interface ProllyMapsOptions {
  /** Memory that decoded nodes may keep between calls. */
  readonly cacheBytesMax?: number
}

const cacheBytesMaxDefault = 16 * 1024 * 1024

/**
 * Immutable sorted maps from bytes to bytes, kept as trees of chunks. The same entries have the same
 * root whatever their history, and two maps share the nodes in which they agree. Keys hold at most
 * 32 KiB, values 256 KiB. Layout: `docs/formats/prolly-trees.md`.
 *
 * New nodes are durable after the chunk store's `flush`. Reading fails with `DataLossError` when a
 * node is missing or damaged.
 */
export class ProllyMaps {
  readonly #nodes: NodeStore

  constructor(chunks: ChunkStore | NodeStore, options: ProllyMapsOptions = {}) {
    const { cacheBytesMax = cacheBytesMaxDefault } = options
    this.#nodes =
      chunks instanceof NodeStore ? chunks : new NodeStore(chunks, new KeptNodes(cacheBytesMax))
  }

  /**
   * The same maps, for work that ends with a `CancelledError` once `signal` has aborted, whatever it
   * is at: before each node that it reads or writes.
   */
  until(signal: AbortSignal): ProllyMaps {
    return new ProllyMaps(this.#nodes.until(signal))
  }

  /** The root of the map without entries. */
  async empty(): Promise<MapRoot> {
    return this.#nodes.put(emptyLeaf())
  }

  /** Builds a map from entries sorted by key, each key once, in bounded memory. */
  build(entries: Iterable<MapEntry> | AsyncIterable<MapEntry>): Promise<MapRoot> {
    return this.#edit(new Node(emptyLeaf()), entries)
  }

  async get(root: MapRoot, key: Uint8Array): Promise<Uint8Array | undefined> {
    return getValue(this.#nodes, await this.#nodes.get(root), key)
  }

  /** Entries in key order. */
  async *scan(root: MapRoot, range: KeyRange = {}): AsyncGenerator<MapEntry> {
    for await (const { leaf, from, to } of scanLeaves(
      this.#nodes,
      await this.#nodes.get(root),
      range,
    )) {
      for (const entry of leafEntries(leaf, from, to)) yield entry
    }
  }

  /** Count of entries; reads the root only. */
  async size(root: MapRoot): Promise<number> {
    const node = await this.#nodes.get(root)
    return node.entryCount
  }

  /**
   * Applies edits sorted by key, each key once. Reads and writes only what lies around them: the
   * cost is their number times the tree's height. Removing an absent key does nothing.
   */
  async edit(root: MapRoot, edits: Iterable<MapEdit> | AsyncIterable<MapEdit>): Promise<MapRoot> {
    return this.#edit(await this.#nodes.get(root), edits, root)
  }

  /** The differences in key order; skips what is equal, so the cost follows their number. */
  async *diff(
    before: MapRoot,
    after: MapRoot,
    { from, to }: KeyRange = {},
  ): AsyncGenerator<MapDifference> {
    if (before === after) return
    const [old, young] = [await this.#nodes.get(before), await this.#nodes.get(after)]
    const diff = new TreeDiff(this.#nodes, old, young)
    if (from !== undefined) await diff.seek(from)
    for (;;) {
      const difference = await diff.next()
      if (difference === undefined) return
      if (to !== undefined && compareBytes(difference.key, to) >= 0) return
      yield difference
    }
  }

  /**
   * Brings their changes since `base` into ours. `resolve` decides keys that both sides changed
   * differently.
   */
  async merge(
    base: MapRoot,
    ours: MapRoot,
    theirs: MapRoot,
    resolve: ConflictResolver,
  ): Promise<MapRoot> {
    if (base === theirs || ours === theirs) return ours
    if (base === ours) return theirs
    const node = await this.#nodes.get(theirs)
    const sinceBase = new TreeDiff(this.#nodes, await this.#nodes.get(base), node)
    const fromOurs = new TreeDiff(this.#nodes, await this.#nodes.get(ours), node)
    return this.edit(ours, mergeEdits({ sinceBase, fromOurs }, resolve))
  }

  /** `root` names `node`; without it the node was never stored. */
  async #edit(
    node: Node,
    edits: Iterable<MapEdit> | AsyncIterable<MapEdit>,
    root?: MapRoot,
  ): Promise<MapRoot> {
    const batches = inBatches(edits, batchEditsMax)
    const edited = await editMap(this.#nodes, node, batches, { heldBytesMax: 0 })
    if (edited !== 'unchanged') return edited.id
    return root ?? this.#nodes.put(node.bytes)
  }
}
