import { join } from 'node:path'
import { copyBytes } from '../../base/bytes.ts'
import type { Database } from '../../database/database.ts'
import { DataLossError, DiskFullError, NotFoundError, UnavailableError } from '../../base/errors.ts'
import { BytesCache } from './bytes-cache.ts'
import { chunkIdOf } from '../chunk-id.ts'
import { type ChunkId, type ChunkLender, type LentChunk, unlent } from '../chunks.ts'
import { type FaultPoint } from '../fault-point.ts'
import type { Leases } from '../leases.ts'
import type { ObjectStore } from '../object-store.ts'
import { type Chunker, inlineChunker, type StreamStore } from '../splitter/inline-chunker.ts'
import { SplitThreads } from '../splitter/split-threads.ts'
import { type RangeStore, threadedRanges } from '../splitter/stored-ranges.ts'
import { threadedChunker } from '../splitter/threaded-chunker.ts'
import { checkedChunk } from './checked-chunk.ts'
import { type EncodedChunk, encodeChunk } from './compression.ts'
import { type PackEntry, type PackFooter, packKey } from './format.ts'
import { LentMemories } from './lent-memory.ts'
import { loadPacks } from './load-packs.ts'
import { PackDraft } from './pack-draft.ts'
import { readNeighbours } from './neighbour-reads.ts'
import { PackPieces } from './pack-pieces.ts'
import type { RecentPuts } from './recent-puts.ts'
import type { RetiredPacks } from './retired-packs.ts'
import type { FoundChunk, LocatedChunk, PlacedInPack, SealedPacks } from './sealed-packs.ts'
import { insertPack } from './stored-packs.ts'

export interface PackedChunksOptions {
  readonly objects: ObjectStore
  readonly database: Database
  readonly sealed: SealedPacks
  readonly recent: RecentPuts
  readonly retired: RetiredPacks
  /** Whoever puts holds one until a row refers to what was put. */
  readonly leases: Leases
  /** Holds the packs that are being written. Used by this store alone. */
  readonly scratchDirectory: string
  /** Bound of the chunks kept in memory for reading. */
  readonly cacheBytes: number
  readonly faultPoint: FaultPoint
  /** Is told of a chunk that cannot be read any more, each time that it is asked for. */
  readonly onDataLoss: (id: ChunkId, error: DataLossError) => void
  /** Is told each time that the disk has no room for a pack. */
  readonly onDiskFull: (error: DiskFullError) => void
}

interface DraftState {
  /** The seal that is running. */
  seal: Promise<void> | undefined
  /** Set once the object store holds the pack. */
  footer: (PackFooter & { readonly sizeBytes: number }) | undefined
  /** Set when the disk had no room for it: no put relies on it any more. */
  isGivenUp: boolean
}

/**
 * Larger chunks are parts of large files, which are read once and in order: kept, they would drive
 * out what is read again, and only a full collection of garbage would free them.
 */
const cachedChunkBytesMax = 128 * 1024

/** So much of the bound is for what lies around small chunks in their packs. */
const piecesPart = 1 / 8

/** A chunk may move to another pack while it is read; so often it is looked for again. */
const readAttemptsMax = 10

const none = new Uint8Array(0)

/** How many packs may be on their way to the object store before puts wait. */
const sealingMax = 2

/** Chunks in packs: `docs/formats/packs.md`. */
export class PackedChunks implements StreamStore, ChunkLender, AsyncDisposable {
  readonly putStream: Chunker
  readonly putRanges: RangeStore
  readonly #threads = new SplitThreads()
  readonly #lentMemories = new LentMemories()
  readonly #options: PackedChunksOptions
  readonly #sealed: SealedPacks
  readonly #cache: BytesCache
  readonly #pieces: PackPieces
  readonly #reads = new Map<ChunkId, Promise<Uint8Array>>()
  /** Packs that are not durable yet, and the seal that is running or has failed. */
  readonly #drafts = new Map<PackDraft, DraftState>()
  #current: PackDraft | undefined
  #draftCount = 0
  /** Resolves when the flush that is running has ended, whether or not it succeeded. */
  #flushing: Promise<void> | undefined
  #nextFlush: Promise<void> | undefined
  #closed = false

  private constructor(options: PackedChunksOptions) {
    this.#options = options
    this.#sealed = options.sealed
    this.#pieces = new PackPieces(options.objects, options.cacheBytes * piecesPart)
    this.#cache = new BytesCache(options.cacheBytes * (1 - piecesPart))
    this.putStream = threadedChunker(this.#threads, this, inlineChunker(this))
    this.putRanges = threadedRanges(this.#threads, this)
  }

  static async open(options: PackedChunksOptions): Promise<PackedChunks> {
    const store = new PackedChunks(options)
    await loadPacks(options.database, options.sealed)
    return store
  }

  async get(id: ChunkId): Promise<Uint8Array> {
    const cached = this.#cache.get(id)
    if (cached !== undefined) return cached
    const running = this.#reads.get(id)
    if (running !== undefined) return await running
    const read = this.#read(id)
    this.#reads.set(id, read)
    try {
      const bytes = await read
      if (bytes.length <= cachedChunkBytesMax) this.#cache.set(id, bytes)
      return bytes
    } catch (error) {
      if (error instanceof DataLossError) this.#options.onDataLoss(id, error)
      throw error
    } finally {
      this.#reads.delete(id)
    }
  }

  async lend(id: ChunkId, sizeBytes: number = Infinity): Promise<LentChunk> {
    const lent = sizeBytes > cachedChunkBytesMax ? await this.#tryLend(id) : undefined
    return lent ?? unlent(await this.get(id))
  }

  /** Undefined when anything stands in the way: `get` knows what to do then. */
  async #tryLend(id: ChunkId): Promise<LentChunk | undefined> {
    const found = await this.#placeToLend(id)
    const sizeBytes = found?.entry.rawBytes ?? 0
    if (found?.entry.encoding !== 'raw' || sizeBytes <= cachedChunkBytesMax) return undefined
    const lent = this.#lentMemories.take()
    if (lent === undefined) return undefined
    const { memory, giveBack, giveUp } = lent
    const bytes = new Uint8Array(memory, 0, sizeBytes)
    try {
      const filled = await this.#options.objects.getInto(found.key, found.entry.offset, bytes)
      const chunk = { start: 0, end: filled }
      const [hashed] = await this.#threads.next().hasher.hash(memory, [chunk])
      if (hashed?.id === id) return { bytes, giveBack, giveUp }
    } catch {
      giveUp()
      return undefined
    }
    giveBack()
    return undefined
  }

  async #placeToLend(id: ChunkId): Promise<FoundChunk | undefined> {
    if (!this.#sealed.mayHold(id)) return undefined
    for await (const found of this.#sealed.placesOf(id)) return found
    return undefined
  }

  async getMany(ids: readonly ChunkId[]): Promise<readonly Uint8Array[]> {
    // Not kept: what is read in bulk is seldom read again, and would drive out what is.
    const read = await this.#readTogether(ids)
    return Promise.all(ids.map(async (id) => read.get(id) ?? this.get(id)))
  }

  async readAhead(ids: readonly ChunkId[]): Promise<void> {
    for (const [id, bytes] of await this.#readTogether(ids)) {
      // A copy, for a view keeps all that was read with it.
      if (bytes.length <= cachedChunkBytesMax) this.#cache.set(id, copyBytes(bytes))
    }
  }

  /** Those of the chunks that are in sealed packs, and not in memory. */
  async #readTogether(ids: readonly ChunkId[]): Promise<ReadonlyMap<ChunkId, Uint8Array>> {
    const isSealed = (id: ChunkId): boolean =>
      this.#cache.get(id) === undefined && this.#drafted(id) === undefined
    return await readNeighbours(this.#options, ids.filter(isSealed))
  }

  put(bytes: Uint8Array): ChunkId | Promise<ChunkId> {
    const id = chunkIdOf(bytes)
    const done = this.putEncoded(id, bytes.length, () => encodeChunk(bytes))
    return done === undefined ? id : done.then(() => id)
  }

  /**
   * Stores a chunk whose id is known. `encode` is called when the store does not hold it; its
   * bytes must not change until the promise settles (undefined: they have been copied).
   */
  putEncoded(id: ChunkId, rawBytes: number, encode: () => EncodedChunk): Promise<void> | undefined {
    if (this.#closed) return Promise.reject(new UnavailableError('the chunk store is closed'))
    const drafted = this.#drafted(id)
    if (drafted !== undefined) return drafted.written
    if (this.#sealed.findAgainForPut(id)) return undefined
    if (this.#current?.isFull !== true && !this.#sealed.mayHold(id)) {
      return this.#append(id, rawBytes, encode())
    }
    return this.#putSlowly(id, rawBytes, encode)
  }

  /** True when the store holds the chunk for certain. */
  async holds(id: ChunkId): Promise<boolean> {
    const drafted = this.#drafted(id)
    if (drafted !== undefined) {
      await drafted.written
      return true
    }
    if (!this.#sealed.mayHold(id)) return false
    return await this.#sealed.findForPut(id)
  }

  /** Where a collection marks the chunk: `draft` when its pack is not sealed yet. */
  async place(id: ChunkId): Promise<PlacedInPack | 'draft' | undefined> {
    if (this.#drafted(id) !== undefined) return 'draft'
    const place = await this.#wholePlace(id)
    // It may have been sealed, or sealed elsewhere, between the two looks.
    if (place !== undefined) return place
    for (const draft of this.#drafts.keys()) if (draft.holds(id) !== undefined) return 'draft'
    return undefined
  }

  /**
   * Where a copy of the chunk is that can be read, however it is told elsewhere: only where there is
   * damage, all copies are looked at. A damaged place when there is no other.
   */
  async #wholePlace(id: ChunkId): Promise<PlacedInPack | undefined> {
    const { damage } = this.#sealed
    if (damage.isEmpty) return await this.#sealed.place(id)
    const found = await Array.fromAsync(this.#sealed.placesOf(id))
    if (!found.some(({ pack, index }) => damage.has(pack.name, index))) return found[0]
    for (const place of found) if (await this.#readsWhole(id, place)) return place
    return found[0]
  }

  /** Another copy of the chunk than this one that can be read, from its pack and not from memory. */
  async findWhole(id: ChunkId, than: PlacedInPack): Promise<LocatedChunk | undefined> {
    for await (const place of this.#sealed.placesOf(id)) {
      const isThat = place.pack.name === than.pack.name && place.index === than.index
      if (!isThat && (await this.#readsWhole(id, place))) return place
    }
    return undefined
  }

  async #readsWhole(id: ChunkId, place: LocatedChunk): Promise<boolean> {
    try {
      await this.#readAnew(id, place)
      return true
    } catch (error) {
      if (!(error instanceof DataLossError || error instanceof NotFoundError)) throw error
      return false
    }
  }

  flush(): Promise<void> {
    if (this.#drafts.size === 0) return Promise.resolve()
    if (this.#flushing === undefined) return this.#startFlush()
    // The flush that is running began before the last put: all who wait share the next one.
    this.#nextFlush ??= this.#flushing.then(() => {
      this.#nextFlush = undefined
      return this.#startFlush()
    })
    return this.#nextFlush
  }

  /** Makes durable what can be, and removes its files. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    try {
      await this.flush()
    } finally {
      for (const draft of this.#drafts.keys()) await draft.discard()
      await this.#threads[Symbol.asyncDispose]()
    }
  }

  #drafted(id: ChunkId): { readonly written: Promise<void> | undefined } | undefined {
    for (const [draft, { isGivenUp }] of this.#drafts) {
      const held = isGivenUp ? undefined : draft.holds(id)
      if (held !== undefined) return held
    }
    return undefined
  }

  #append(id: ChunkId, rawBytes: number, chunk: EncodedChunk): Promise<void> | undefined {
    if (this.#current === undefined) {
      this.#draftCount += 1
      const path = join(this.#options.scratchDirectory, `${this.#draftCount}.pack`)
      const draft = new PackDraft(path, this.#options.faultPoint, {
        onFull: (error) => this.#giveUp(draft, error),
        isTaken: (name) => this.#sealed.isTaken(name),
      })
      this.#current = draft
      this.#drafts.set(draft, { seal: undefined, footer: undefined, isGivenUp: false })
    }
    return this.#current.append(id, rawBytes, chunk)
  }

  /**
   * The disk has no room for the draft. It stays for whoever relies on it already, and whose flush
   * may still find room; after them, the room that it takes is free again.
   */
  #giveUp(draft: PackDraft, error: DiskFullError): void {
    this.#options.onDiskFull(error)
    const state = this.#drafts.get(draft)
    // A pack that is stored lacks only its row, and may be what another flush has stored.
    if (state === undefined || state.isGivenUp || state.footer !== undefined) return
    state.isGivenUp = true
    draft.close()
    if (this.#current === draft) this.#current = undefined
    this.#options.leases.giveUp(() => {
      this.#discard(draft, state).catch(() => undefined) // the next start clears what is left
    })
  }

  async #discard(draft: PackDraft, state: DraftState): Promise<void> {
    await state.seal?.catch(() => undefined)
    if (!this.#drafts.has(draft) || state.footer !== undefined) return
    this.#drafts.delete(draft)
    await draft.discard()
  }

  async #putSlowly(id: ChunkId, rawBytes: number, encode: () => EncodedChunk): Promise<void> {
    if (this.#sealed.mayHold(id)) {
      if (await this.#sealed.findForPut(id)) return
    }
    while (this.#current?.isFull === true) await this.#rotate()
    // Another put of the same chunk may have come first meanwhile.
    await (this.#drafted(id) ?? { written: this.#append(id, rawBytes, encode()) }).written
  }

  /** Seals the current pack in the background; waits while too many are being sealed. */
  async #rotate(): Promise<void> {
    const seals = [...this.#drafts.values()].flatMap(({ seal }) => seal ?? [])
    if (this.#drafts.size <= sealingMax) this.#sealCurrent()
    else if (seals.length > 0) await Promise.race(seals)
    else await this.flush()
  }

  #sealCurrent(): void {
    const draft = this.#current
    if (draft === undefined) return
    this.#current = undefined
    this.#seal(draft).catch(() => undefined) // the flush that needs it tries again, and tells
  }

  async #startFlush(): Promise<void> {
    this.#sealCurrent()
    const flushing = Promise.all([...this.#drafts.keys()].map((draft) => this.#seal(draft)))
    this.#flushing = flushing.then(
      () => undefined,
      () => undefined, // its callers see the error
    )
    try {
      await flushing
    } finally {
      this.#flushing = undefined
    }
  }

  async #seal(draft: PackDraft): Promise<void> {
    const state = this.#drafts.get(draft)
    if (state === undefined) return
    draft.close()
    // After a failure, the chunks stay readable and the next flush tries again.
    state.seal ??= this.#sealNow(draft, state).finally(() => {
      state.seal = undefined
    })
    await state.seal
  }

  async #sealNow(draft: PackDraft, state: DraftState): Promise<void> {
    const { database, faultPoint, recent, retired } = this.#options
    if (state.footer === undefined && draft.chunkCount > 0) {
      const footer = await draft.finish()
      await retired.finish(footer.name)
      await this.#store(draft, footer.name)
      state.footer = footer
    }
    const { footer } = state
    if (footer !== undefined) {
      faultPoint('pack: stored')
      const { name, sizeBytes, fingerprints } = footer
      const pack = { name, sizeBytes, chunkCount: draft.chunkCount }
      await database.transact((tx) => insertPack(tx, pack, fingerprints))
      faultPoint('pack: listed')
      recent.noteSealed(name)
      this.#sealed.add(pack, fingerprints)
    }
    this.#drafts.delete(draft)
    await draft.discard()
  }

  async #store(draft: PackDraft, name: string): Promise<void> {
    try {
      await this.#options.objects.putFileIfAbsent(packKey(name), draft.path)
    } catch (error) {
      if (error instanceof DiskFullError) this.#giveUp(draft, error)
      throw error
    }
  }

  async #read(id: ChunkId): Promise<Uint8Array> {
    for (let attempt = 1; ; attempt += 1) {
      const bytes = await this.#tryRead(id, attempt === readAttemptsMax)
      if (bytes !== undefined) return bytes
    }
  }

  /** Undefined when the pack went while it was read; the last time, that is an error. */
  async #tryRead(id: ChunkId, isLast: boolean): Promise<Uint8Array | undefined> {
    const { forgetCount } = this.#sealed
    for (const draft of this.#drafts.keys()) {
      const read = await this.#readDraft(draft, id)
      if (read !== undefined)
        return await checkedChunk(id, read.stored, read.entry, `draft ${draft.path}`)
    }
    const read = await this.#readAnywhere(id, isLast).catch((error: unknown) => {
      if (error instanceof DataLossError) return error
      throw error
    })
    if (read !== undefined && !(read instanceof DataLossError)) return read
    await this.#sealed.refreshPacksOf(id)
    if (read === undefined) await loadPacks(this.#options.database, this.#sealed) // another process may have added some
    const again = await this.#readAnywhere(id, isLast)
    if (again !== undefined) return again
    if (forgetCount !== this.#sealed.forgetCount && !isLast) return undefined
    const lost = [...this.#sealed.lostPacks].join(', ')
    const hint = lost === '' ? '' : `; packs that are lost, cut short or damaged: ${lost}`
    throw new DataLossError(`chunk ${id} is missing: no pack holds it${hint}`)
  }

  /**
   * From the first pack that has it whole; undefined when none has it, or one went meanwhile.
   * @throws {DataLossError} when all that have it are damaged.
   */
  async #readAnywhere(id: ChunkId, isLast: boolean): Promise<Uint8Array | undefined> {
    let failure: DataLossError | undefined
    for await (const found of this.#sealed.placesOf(id)) {
      try {
        return await this.#readSealed(id, found, isLast)
      } catch (error) {
        if (!(error instanceof DataLossError)) throw error
        failure ??= error
      }
    }
    if (failure !== undefined) throw failure
    return undefined
  }

  async #readDraft(
    draft: PackDraft,
    id: ChunkId,
  ): Promise<{ readonly entry: PackEntry; readonly stored: Uint8Array } | undefined> {
    try {
      return await draft.read(id)
    } catch (error) {
      if (this.#drafts.has(draft)) throw error
      return undefined // sealed meanwhile
    }
  }

  async #readSealed(
    id: ChunkId,
    place: LocatedChunk,
    isLast: boolean,
  ): Promise<Uint8Array | undefined> {
    const { pack, key, entry } = place
    try {
      if (!this.#sealed.damage.has(pack.name, place.index)) {
        const piece = await this.#pieces.get(key, entry.offset, entry.storedBytes).catch(() => none)
        const bytes = await checkedChunk(id, piece, entry, key).catch(() => undefined)
        if (bytes !== undefined) return bytes
      }
      // What was read before may have been put right since, or only lie beside what is damaged.
      return await this.#readAnew(id, place)
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error
      if (!this.#sealed.has(pack.name) && !isLast) return undefined
      throw new DataLossError(`chunk ${id} is missing with its pack ${pack.name}`, { cause: error })
    }
  }

  /** As it is on the disk now; whether it is damaged is known from then on. */
  async #readAnew(id: ChunkId, { pack, index, key, entry }: LocatedChunk): Promise<Uint8Array> {
    this.#pieces.forget(key, entry.offset)
    await this.#options.objects.refresh(key)
    try {
      const stored = await this.#options.objects.get(key, entry.offset, entry.storedBytes)
      const bytes = await checkedChunk(id, stored, entry, `pack ${pack.name}`)
      await this.#sealed.damage.clear(pack, index)
      return bytes
    } catch (error) {
      if (error instanceof DataLossError) await this.#sealed.noteDamaged(pack, index)
      throw error
    }
  }
}
