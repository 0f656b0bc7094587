import type { ChunkId, ChunkStore } from '../chunks.ts'
import { Node } from './node.ts'

/** Puts that may be under way in one write; each holds one node. */
const putsInFlightMax = 16

/**
 * Reads nodes, and keeps decoded ones, up to `cacheBytesMax` of memory. Two generations: a hit in
 * the younger one costs a look-up and no more; when it has grown to half the bound it becomes the
 * older one, and what was not asked for since is dropped.
 */
export class NodeStore {
  readonly chunks: ChunkStore
  readonly #generationBytesMax: number
  #younger = new Map<ChunkId, Node>()
  #older = new Map<ChunkId, Node>()
  #youngerBytes = 0

  constructor(chunks: ChunkStore, cacheBytesMax: number) {
    this.chunks = chunks
    this.#generationBytesMax = cacheBytesMax / 2
  }

  /** @throws {DataLossError} when the chunk is missing, damaged or no node. */
  get(id: ChunkId): Node | Promise<Node> {
    const young = this.#younger.get(id)
    if (young !== undefined) return young
    const old = this.#older.get(id)
    if (old === undefined) return this.#load(id)
    this.#remember(id, old)
    return old
  }

  async #load(id: ChunkId): Promise<Node> {
    const node = new Node(await this.chunks.get(id))
    this.#remember(id, node)
    return node
  }

  #remember(id: ChunkId, node: Node): void {
    if (this.#younger.has(id)) return
    this.#younger.set(id, node)
    this.#youngerBytes += node.memoryBytes
    if (this.#youngerBytes <= this.#generationBytesMax) return
    this.#older = this.#younger
    this.#younger = new Map()
    this.#youngerBytes = 0
  }
}

/**
 * A node as its parent will name it. A new one is being stored, or is held back: small leaves are
 * stored only when a parent names them, so that a small root can live without a chunk.
 */
export interface NodeRef {
  readonly lastKey: Uint8Array
  /** Count of map entries below. */
  readonly entryCount: number
  /** Count of entries in the node itself; 0 when it is not known. */
  readonly count: number
  readonly state: { readonly id: ChunkId | Promise<ChunkId> } | { readonly heldBytes: Uint8Array }
}

/** The top of a map: a node of its own, stored as a chunk unless `heldBytes` are given. */
export interface RootNode {
  readonly id: ChunkId
  readonly heldBytes: Uint8Array | undefined
}

/** Stores the new nodes of one write, several at a time. */
export class NodeSink {
  readonly #chunks: ChunkStore
  readonly #heldBytesMax: number
  readonly #inFlight: Promise<unknown>[] = []

  /** Leaves of up to `heldBytesMax` bytes are held back until a parent names them. */
  constructor(chunks: ChunkStore, heldBytesMax: number) {
    this.#chunks = chunks
    this.#heldBytesMax = heldBytesMax
  }

  /** Takes ownership of `bytes`. Resolves when the next node may come. */
  async write(bytes: Uint8Array, lastKey: Uint8Array, entryCount: number): Promise<NodeRef> {
    const isLeaf = bytes[1] === 0
    const count = (bytes[2] ?? 0) | ((bytes[3] ?? 0) << 8)
    if (isLeaf && bytes.length <= this.#heldBytesMax) {
      return { lastKey, entryCount, count, state: { heldBytes: bytes } }
    }
    if (this.#inFlight.length >= putsInFlightMax) await this.#inFlight.shift()
    return { lastKey, entryCount, count, state: { id: this.#put(bytes) } }
  }

  /** The id of a node that is about to be named by its parent. */
  idOf(ref: NodeRef): ChunkId | Promise<ChunkId> {
    return 'id' in ref.state ? ref.state.id : this.#put(ref.state.heldBytes)
  }

  /** Resolves when every node is stored. */
  async settle(): Promise<void> {
    await Promise.all(this.#inFlight.splice(0))
  }

  #put(bytes: Uint8Array): ChunkId | Promise<ChunkId> {
    const stored = this.#chunks.put(bytes)
    if (typeof stored === 'string') return stored
    // Whoever waits for `stored` sees its failure; until then it must not count as unhandled.
    stored.catch(() => undefined)
    this.#inFlight.push(stored)
    return stored
  }
}
