import { join } from 'node:path'
import { DataLossError, type DiskFullError, NotFoundError } from '../../base/errors.ts'
import { ahead, inParallel } from '../../base/parallel.ts'
import type { Database } from '../../database/database.ts'
import type { ChunkId } from '../chunks.ts'
import type { FaultPoint } from '../fault-point.ts'
import type { Epoch } from '../leases.ts'
import type { ObjectStore } from '../object-store.ts'
import { packKey } from './format.ts'
import { PackDraft } from './pack-draft.ts'
import type { PackedChunks } from './packed-chunks.ts'
import { type ChunkBits, newChunkBits, type RecentPuts } from './recent-puts.ts'
import { chunksOf, chunksToCopy, copyChunks, type NumberedChunk } from './repack.ts'
import type { RetiredPacks } from './retired-packs.ts'
import type { PlacedInPack, SealedPack, SealedPacks } from './sealed-packs.ts'
import { noteCollected, sizeBytesCollected } from './stored-packs.ts'

export type { PlacedInPack, SealedPack } from './sealed-packs.ts'

/** Packs that are read, or looked for, at the same time. */
const packsAtOnceMax = 16

/** Chunks of packs, by pack name. */
export type Marks = ReadonlyMap<string, ChunkBits>

/** A chunk that was copied, and where it is in the index of the pack that it is in now. */
export interface Move {
  readonly from: PlacedInPack
  readonly index: number
}

/** Where chunks are now whose packs have gone. */
export interface Moved {
  /** Off the list; their objects are still there. */
  readonly names: readonly string[]
  /** The pack that took their place. */
  readonly successor: SealedPack | undefined
  /** Into the successor: found out anew each time that they are gone through, for they may be many. */
  readonly moves: Iterable<Move>
}

/** What became of some packs. */
export interface ReplacedPacks extends Moved {
  /** The size of the pack that took their place; 0 for none. */
  readonly addedBytes: number
}

/** Nothing has changed: of this pack not all could be copied that is needed. */
export interface LeftPack {
  readonly left: SealedPack
}

/** The packs of a chunk store as garbage collection sees them. */
export class PackCollection {
  readonly #chunks: PackedChunks
  readonly #sealed: SealedPacks
  readonly #recent: RecentPuts
  readonly #retired: RetiredPacks
  readonly #objects: ObjectStore
  readonly #database: Database
  readonly #scratchDirectory: string
  readonly #faultPoint: FaultPoint
  readonly #onDiskFull: (error: DiskFullError) => void
  #draftCount = 0
  #holdCount = 0

  constructor(parts: {
    readonly chunks: PackedChunks
    readonly sealed: SealedPacks
    readonly recent: RecentPuts
    readonly retired: RetiredPacks
    readonly objects: ObjectStore
    readonly database: Database
    readonly scratchDirectory: string
    readonly faultPoint: FaultPoint
    readonly onDiskFull: (error: DiskFullError) => void
  }) {
    this.#chunks = parts.chunks
    this.#sealed = parts.sealed
    this.#recent = parts.recent
    this.#retired = parts.retired
    this.#objects = parts.objects
    this.#database = parts.database
    this.#scratchDirectory = parts.scratchDirectory
    this.#faultPoint = parts.faultPoint
    this.#onDiskFull = parts.onDiskFull
  }

  /** The packs that are listed. Those whose objects are lost are left to whoever repairs. */
  all(): readonly SealedPack[] {
    const lost = this.#sealed.lostPacks
    return this.#sealed.all().filter(({ name }) => !lost.has(name))
  }

  /**
   * Keeps the object of every pack that is listed when it resolves, until it is disposed of: for whoever
   * copies packs. Collections find meanwhile what is garbage, and free nothing.
   */
  async hold(): Promise<Disposable> {
    this.#holdCount += 1
    // What was on its way out goes off the list before anybody looks at that.
    await this.#retired.settled()
    let isHeld = true
    return {
      [Symbol.dispose]: () => {
        if (isHeld) this.#holdCount -= 1
        isHeld = false
      },
    }
  }

  /** Whether somebody holds the packs: then none is dropped. */
  get areHeld(): boolean {
    return this.#holdCount > 0
  }

  /** Where the chunk is: `draft` in a pack that is not sealed yet, undefined when nowhere. */
  place(id: ChunkId): Promise<PlacedInPack | 'draft' | undefined> {
    return this.#chunks.place(id)
  }

  /** How large all packs were after the last collection, whenever that was; 0 when there was none. */
  async sizeBytesCollected(): Promise<number> {
    return await sizeBytesCollected(this.#database)
  }

  async noteCollected(sizeBytes: number): Promise<void> {
    await noteCollected(this.#database, sizeBytes)
  }

  /** Whether all that is listed is there, as far as sizes tell. */
  async areThere(keep: () => Promise<void>): Promise<boolean> {
    if (this.#sealed.lostPacks.size > 0) return false
    let areThere = true
    await inParallel(this.#sealed.all(), packsAtOnceMax, async ({ name, sizeBytes }) => {
      if (!areThere) return
      await keep()
      try {
        if ((await this.#objects.sizeBytes(packKey(name))) !== sizeBytes) areThere = false
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error
        areThere = false
      }
    })
    return areThere
  }

  wasSealedSince(pack: SealedPack, epoch: Epoch): boolean {
    return this.#recent.wasSealedSince(pack.name, epoch)
  }

  /** Forgets what was put before the oldest lease. */
  pruneRecent(): void {
    this.#recent.prune()
  }

  /** The chunks that are marked, and those that puts have found since. */
  neededOf(pack: SealedPack, marks: Marks, since: Epoch): ChunkBits {
    const bits = newChunkBits(pack.chunkCount)
    bits.set(marks.get(pack.name) ?? none)
    this.#recent.addFound(pack.name, since, bits)
    return bits
  }

  /** What is known to be damaged in the pack; undefined when nothing is. */
  damageOf(pack: SealedPack): ChunkBits | undefined {
    return this.#sealed.damage.of(pack.name)
  }

  /** How often a chunk was stored afresh because the copy that was there is damaged. */
  get replacedCount(): number {
    return this.#sealed.damage.replacedCount
  }

  /** Chunks by their place in the pack. */
  chunksOf(pack: SealedPack, bits: ChunkBits): Promise<readonly NumberedChunk[]> {
    return chunksOf(this.#sealed, pack, bits)
  }

  /**
   * Takes packs off the list of which nothing is needed, and that nobody holds: the caller has just
   * seen that.
   */
  async drop(packs: readonly SealedPack[]): Promise<ReplacedPacks> {
    this.#retired.retire(packs)
    try {
      return { ...(await this.#retired.replace(packs)), moves: [] }
    } catch (error) {
      this.#retired.restore(packs)
      throw error
    }
  }

  /**
   * Copies what is needed of `packs` into one new pack, and takes them off the list in its favour.
   * One is left when a chunk of it is damaged or lost, or when puts have found so much in them that one
   * pack would not do. Undefined, and nothing has changed, when packs are held.
   */
  async repack(
    packs: readonly SealedPack[],
    needed: (pack: SealedPack) => ChunkBits,
  ): Promise<ReplacedPacks | LeftPack | undefined> {
    if (this.areHeld) return undefined
    // In one go: a put that comes later does not rely on these packs any more.
    const bits = packs.map((pack) => ({ pack, bits: needed(pack) }))
    this.#retired.retire(packs)
    this.#draftCount += 1
    const path = join(this.#scratchDirectory, `collect-${this.#draftCount}.pack`)
    const isTaken = (name: string): Promise<boolean> => this.#sealed.isTaken(name)
    const draft = new PackDraft(path, this.#faultPoint, {
      isTaken,
      onFull: this.#onDiskFull,
    })
    try {
      const copied: CopiedChunks[] = []
      const source = { objects: this.#objects, sealed: this.#sealed }
      const readAhead = ahead(bits, packsAtOnceMax, async ({ pack, bits: wanted }) => ({
        pack,
        read: await unlessLost(() => chunksToCopy(source, pack, wanted)),
      }))
      for await (const { pack, read } of readAhead) {
        const isCopied =
          read !== undefined &&
          draft.hasRoomFor(read.chunks) &&
          (await unlessLost(() => copyChunks(source, read, draft))) !== undefined
        if (!isCopied) {
          this.#retired.restore(packs)
          return { left: pack }
        }
        copied.push({
          pack,
          ids: read.chunks.map(({ id }) => id),
          indexes: Uint32Array.from(read.chunks, ({ index }) => index),
        })
      }
      this.#faultPoint('collect: copied')
      const replaced = await this.#retired.replace(packs, draft.chunkCount > 0 ? draft : undefined)
      const ids = draft.ids()
      return { ...replaced, moves: { [Symbol.iterator]: () => movesInto(ids, copied) } }
    } catch (error) {
      this.#retired.restore(packs)
      throw error
    } finally {
      await draft.discard()
    }
  }

  /** Deletes the objects of packs that are off the list. */
  async delete(names: readonly string[]): Promise<void> {
    await this.#retired.delete(names)
  }
}

const none = new Uint8Array(0)

/** Chunks of one pack that were copied, each with its place there. */
interface CopiedChunks {
  readonly pack: SealedPack
  readonly ids: readonly ChunkId[]
  readonly indexes: Uint32Array
}

/** @param ids of the pack that they are in now, sorted as its index is. */
function* movesInto(ids: readonly ChunkId[], copied: readonly CopiedChunks[]): Generator<Move> {
  for (const { pack, ids: moved, indexes } of copied) {
    for (const [at, id] of moved.entries()) {
      yield { from: { pack, index: indexes[at] ?? 0 }, index: lowerBound(ids, id) }
    }
  }
}

/** The first place in `sorted` whose id is `id` or behind it. */
function lowerBound(sorted: readonly ChunkId[], id: ChunkId): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] ?? '') < id) low = middle + 1
    else high = middle
  }
  return low
}

async function unlessLost<Result>(read: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof DataLossError || error instanceof NotFoundError) return undefined
    throw error
  }
}
