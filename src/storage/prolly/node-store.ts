import { CancelledError } from '../../base/errors.ts'
import type { ChunkId, ChunkStore } from '../chunks.ts'
import { Node } from './node.ts'

/** Puts that may be under way in one write; each holds one node. */
const putsInFlightMax = 16

/**
 * Reads nodes, and keeps decoded ones, up to a bound of memory. Those that come from each other by
 * `until` keep them together.
 */
export class NodeStore {
  readonly chunks: ChunkStore
  /** Once it has aborted, nothing is read or written any more. */
  readonly signal: AbortSignal | undefined
  readonly #kept: KeptNodes

  constructor(chunks: ChunkStore, kept: KeptNodes, signal?: AbortSignal) {
    this.chunks = chunks
    this.signal = signal
    this.#kept = kept
  }

  /** The same, until `signal` aborts, too. */
  until(signal: AbortSignal): NodeStore {
    const both = this.signal ? AbortSignal.any([this.signal, signal]) : signal
    return new NodeStore(this.chunks, this.#kept, both)
  }

  /**
   * @throws {DataLossError} when the chunk is missing, damaged or no node.
   * @throws {CancelledError}
   */
  get(id: ChunkId): Node | Promise<Node> {
    this.#throwIfAborted()
    return this.#kept.find(id) ?? this.#load(id)
  }

  /** Stores the bytes of a node, as `ChunkStore.put` does. @throws {CancelledError} */
  put(bytes: Uint8Array): ChunkId | Promise<ChunkId> {
    this.#throwIfAborted()
    return this.chunks.put(bytes)
  }

  async #load(id: ChunkId): Promise<Node> {
    const node = new Node(await this.chunks.get(id))
    this.#kept.add(id, node)
    return node
  }

  #throwIfAborted(): void {
    if (this.signal?.aborted === true) throw new CancelledError('the work was interrupted')
  }
}

/**
 * Decoded nodes, up to `bytesMax` of memory. Two generations: a hit in the younger one costs a
 * look-up and no more; when it has grown to half the bound it becomes the older one, and what was
 * not asked for since is dropped.
 */
export class KeptNodes {
  readonly #generationBytesMax: number
  #younger = new Map<ChunkId, Node>()
  #older = new Map<ChunkId, Node>()
  #youngerBytes = 0

  constructor(bytesMax: number) {
    this.#generationBytesMax = bytesMax / 2
  }

  find(id: ChunkId): Node | undefined {
    const young = this.#younger.get(id)
    if (young !== undefined) return young
    const old = this.#older.get(id)
    if (old !== undefined) this.add(id, old)
    return old
  }

  add(id: ChunkId, node: Node): void {
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
  readonly #store: Pick<NodeStore, 'put'>
  readonly #heldBytesMax: number
  readonly #inFlight: Promise<unknown>[] = []

  /** Leaves of up to `heldBytesMax` bytes are held back until a parent names them. */
  constructor(store: Pick<NodeStore, 'put'>, heldBytesMax: number) {
    this.#store = store
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
    const stored = this.#store.put(bytes)
    if (typeof stored === 'string') return stored
    // Whoever waits for `stored` sees its failure; until then it must not count as unhandled.
    stored.catch(() => undefined)
    this.#inFlight.push(stored)
    return stored
  }
}
