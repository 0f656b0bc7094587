import { copyBytes } from '../../base/bytes.ts'
import { DataLossError } from '../../base/errors.ts'
import { chunkIdOf } from '../../storage/chunk-id.ts'
import type { ChunkId, ChunkStore } from '../../storage/chunks.ts'
import type { CollectionRun, CollectionSource } from '../../storage/collection-roots.ts'
import type { Epoch, Leases } from '../../storage/leases.ts'
import { ChunkWalk } from '../reachable-chunks.ts'

/** Chunks that outlive the processes that put them. */
export type KeptChunks = Map<ChunkId, Uint8Array>

/** One of so many reads and writes waits for the device; the others are done at once. */
const waitsOneIn = 6

/**
 * Chunks as one process sees them: what was put can be read at once, outlives the process when a
 * flush has covered it, and is collected as the leases allow.
 */
export class SimulatedChunks implements ChunkStore {
  readonly #kept: KeptChunks
  readonly #leases: Leases
  readonly #device: () => Promise<void>
  readonly #roll: (count: number) => number
  readonly #unflushed = new Map<ChunkId, Uint8Array>()
  /** The epoch in which each was put the last time in this life. */
  readonly #puts = new Map<ChunkId, Epoch>()

  constructor(ports: {
    readonly kept: KeptChunks
    readonly leases: Leases
    readonly device: () => Promise<void>
    readonly roll: (count: number) => number
  }) {
    this.#kept = ports.kept
    this.#leases = ports.leases
    this.#device = ports.device
    this.#roll = ports.roll
  }

  async get(id: ChunkId): Promise<Uint8Array> {
    if (this.#roll(waitsOneIn) === 0) await this.#device()
    const bytes = this.#unflushed.get(id) ?? this.#kept.get(id)
    if (bytes === undefined) throw new DataLossError(`chunk ${id} is missing`)
    return bytes
  }

  async put(bytes: Uint8Array): Promise<ChunkId> {
    const id = chunkIdOf(bytes)
    this.#puts.set(id, this.#leases.epoch)
    if (!this.#kept.has(id)) this.#unflushed.set(id, copyBytes(bytes))
    if (this.#roll(waitsOneIn) === 0) await this.#device()
    return id
  }

  async flush(): Promise<void> {
    const covered = [...this.#unflushed]
    if (covered.length === 0) return
    await this.#device()
    for (const [id, bytes] of covered) this.#kept.set(id, bytes)
    await this.#device()
    for (const [id] of covered) this.#unflushed.delete(id)
  }

  /** Some of what no flush has covered is there after a crash. */
  crash(): void {
    for (const [id, bytes] of this.#unflushed) if (this.#roll(2) === 0) this.#kept.set(id, bytes)
  }

  /** Frees what nothing refers to, by the rules of `docs/formats/packs.md`; returns how many. */
  async collect(sources: readonly CollectionSource[]): Promise<number> {
    using leases = this.#leases.watch()
    const before = new Set(this.#kept.keys())
    await this.flush()
    const walk = new ChunkWalk(this)
    const run: CollectionRun = {
      isRehearsal: false,
      isStrict: false,
      isIncremental: false,
      inline: { wantedInline: new Set(), seenInline: new Set() },
      isMarked: async (id) => walk.seen.has(id),
      removed: () => undefined,
    }
    const walkHeld = async (): Promise<void> => {
      for (let root = leases.next(); root !== undefined; root = leases.next()) await walk.root(root)
    }
    for (const source of sources) await source.prepare?.(run)
    for (const source of sources) {
      for await (const root of source.collectionRoots(run)) {
        await walk.root(root)
        await walkHeld()
      }
    }
    await leases.settled()
    do await walkHeld()
    while (!leases.close())
    await this.#device()
    let freedCount = 0
    for (const id of before) {
      if (walk.seen.has(id) || (this.#puts.get(id) ?? 0) >= leases.keptFrom) continue
      this.#kept.delete(id)
      freedCount += 1
    }
    for (const source of sources) await source.ended?.(run)
    return freedCount
  }
}
