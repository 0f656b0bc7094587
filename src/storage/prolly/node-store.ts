import type { ChunkId, ChunkStore } from '../chunks.ts'
import { Node } from './node.ts'

/** Puts that may be under way in one write; each holds one node. */
const putsInFlightMax = 16

/** Reads nodes, and keeps the decoded ones that were used last, up to `cacheBytesMax` of memory. */
export class NodeStore {
  readonly chunks: ChunkStore
  readonly #cacheBytesMax: number
  readonly #cache = new Map<ChunkId, Node>()
  #cacheBytes = 0

  constructor(chunks: ChunkStore, cacheBytesMax: number) {
    this.chunks = chunks
    this.#cacheBytesMax = cacheBytesMax
  }

  /** @throws {DataLossError} when the chunk is missing, damaged or no node. */
  get(id: ChunkId): Node | Promise<Node> {
    const known = this.#cache.get(id)
    if (known === undefined) return this.#load(id)
    this.#cache.delete(id)
    this.#cache.set(id, known)
    return known
  }

  async #load(id: ChunkId): Promise<Node> {
    const node = new Node(await this.chunks.get(id))
    this.#remember(id, node)
    return node
  }

  #remember(id: ChunkId, node: Node): void {
    if (this.#cache.has(id)) return
    this.#cache.set(id, node)
    this.#cacheBytes += node.memoryBytes
    for (const [oldest, unused] of this.#cache) {
      if (this.#cacheBytes <= this.#cacheBytesMax) break
      this.#cache.delete(oldest)
      this.#cacheBytes -= unused.memoryBytes
    }
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

  #put(bytes: Uint8Array): Promise<ChunkId> {
    const stored = this.#chunks.put(bytes)
    // Whoever waits for `stored` sees its failure; until then it must not count as unhandled.
    stored.catch(() => undefined)
    this.#inFlight.push(stored)
    return stored
  }
}
