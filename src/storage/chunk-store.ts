import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { DataLossError, DiskFullError } from '../base/errors.ts'
import type { Database } from '../database/database.ts'
import type { ChunkHolder, ChunkId, ChunkLender } from './chunks.ts'
import { makeDirectories } from './directories.ts'
import { type FaultPoint, noFault } from './fault-point.ts'
import { directoryError } from './file-errors.ts'
import type { ObjectStore } from './object-store.ts'
import { Leases } from './leases.ts'
import { adoptPacks } from './packs/adopt-packs.ts'
import { PackCollection } from './packs/pack-collection.ts'
import { PackedChunks } from './packs/packed-chunks.ts'
import { type ChunkBits, RecentPuts } from './packs/recent-puts.ts'
import { deleteLeftPacks, RetiredPacks } from './packs/retired-packs.ts'
import {
  type ChunkPlace,
  type LocatedChunk,
  type PlacedInPack,
  type SealedPack,
  SealedPacks,
} from './packs/sealed-packs.ts'
import { loadDamage } from './packs/stored-damage.ts'
import { spoolSuffix } from './spool.ts'
import type { StreamStore } from './splitter/inline-chunker.ts'

export interface ChunkStoreOptions {
  readonly objects: ObjectStore
  /** Has the tables of `storageMigrations`. */
  readonly database: Database
  /** For packs that are being written: this store's alone, best on the same disk as the objects. */
  readonly scratchDirectory: string
  /** Bound of the chunks kept in memory for reading; 32 MiB. */
  readonly cacheBytes?: number
  /** Bound of the blocks of pack indexes kept in memory; 16 MiB. */
  readonly indexCacheBytes?: number
  /**
   * How many chunks are found without a search, at 11 to 22 bytes of memory each; 8 million. Chunks
   * beyond may be stored twice, and reading them searches the packs.
   */
  readonly locatedChunksMax?: number
  /** Leave packs alone that are not listed, or were to be deleted; false. */
  readonly adoptsNothing?: boolean
  readonly faultPoint?: FaultPoint
  /** Is told of a chunk that cannot be read any more, each time that it is asked for. */
  readonly onDataLoss?: (id: ChunkId, error: DataLossError) => void
  /** Is told each time that the disk has no room for a pack. */
  readonly onDiskFull?: (error: DiskFullError) => void
}

const mib = 1024 * 1024

/** Chunks in packs, what collects those that nothing refers to, and where they are for a check. */
export interface PackStore extends StreamStore, ChunkLender, ChunkHolder, AsyncDisposable {
  /** How many packs were found that were not listed, and are now. */
  readonly adoptedCount: number
  /** Whoever puts chunks, or reads what may be deleted meanwhile, holds one. */
  readonly leases: Leases
  /** For a `Collector`. */
  readonly packs: PackCollection
  /** Where a chunk is, in packs that are sealed, listed, and not said to be lost. */
  locate(id: ChunkId, isLost?: (pack: SealedPack) => boolean): Promise<ChunkPlace>
  /** From now on no put relies on this copy of a chunk, and others are read rather than it. */
  noteDamaged(pack: SealedPack, index: number): Promise<void>
  /** Whether some of its chunks are known to be damaged. */
  isDamaged(pack: SealedPack): boolean
  /** All of the pack has been read: these of its chunks are damaged, and no others. */
  setDamaged(pack: SealedPack, damaged: ChunkBits): Promise<void>
  /** Another copy of the chunk than this one that can be read; it is read. */
  findWhole(id: ChunkId, than: PlacedInPack): Promise<LocatedChunk | undefined>
  /** Resolves when every pack that is stored now is listed, unless that failed. */
  settled(): Promise<void>
  /** The pack is read anew from now on, as it is in the object store. */
  refresh(name: string): Promise<void>
  /** To be called when the row of a pack has been made or corrected. */
  relist(pack: SealedPack, fingerprints: Uint8Array): void
}

/**
 * Opens the chunks in the packs of `objects`. What a crash left is put right: unfinished packs are
 * removed, finished ones that were not listed yet are, and those that were being deleted go.
 */
export async function openChunkStore(options: ChunkStoreOptions): Promise<PackStore> {
  const { objects, database, scratchDirectory, faultPoint = noFault } = options
  await clearDirectory(scratchDirectory)
  const adoptedCount = options.adoptsNothing === true ? 0 : await putPacksRight(objects, database)
  const leases = new Leases()
  const recent = new RecentPuts(leases)
  const damage = await loadDamage(database)
  const sealed = new SealedPacks(objects, recent, damage, {
    indexCacheBytes: options.indexCacheBytes ?? 16 * mib,
    locatedChunksMax: options.locatedChunksMax ?? 8_000_000,
  })
  const { onDiskFull = () => undefined } = options
  const ports = { objects, database, scratchDirectory, faultPoint, onDiskFull }
  const common = { ...ports, sealed, recent, leases }
  const retired = new RetiredPacks(common)
  const cacheBytes = options.cacheBytes ?? 24 * mib
  const chunks = await PackedChunks.open({
    ...common,
    retired,
    cacheBytes,
    onDataLoss: options.onDataLoss ?? (() => undefined),
  })
  const packs = new PackCollection({ ...common, retired, chunks })
  return {
    leases,
    packs,
    adoptedCount,
    locate: (id, isLost) => sealed.locate(id, isLost),
    noteDamaged: (pack, index) => sealed.noteDamaged(pack, index),
    isDamaged: ({ name }) => damage.of(name) !== undefined,
    setDamaged: async (pack, damaged) => {
      if (sealed.has(pack.name)) await damage.set(pack, damaged)
    },
    findWhole: (id, than) => chunks.findWhole(id, than),
    settled: async () => {
      await chunks.flush()
      await retired.settled()
    },
    refresh: (name) => sealed.refresh(name),
    relist: (pack, fingerprints) => sealed.replace(pack, fingerprints),
    putStream: chunks.putStream,
    putRanges: chunks.putRanges,
    get: (id) => chunks.get(id),
    lend: (id, sizeBytes) => chunks.lend(id, sizeBytes),
    getMany: (ids) => chunks.getMany(ids),
    readAhead: (ids) => chunks.readAhead(ids),
    holds: (id) => chunks.holds(id),
    put: (bytes) => chunks.put(bytes),
    flush: () => chunks.flush(),
    [Symbol.asyncDispose]: () => chunks[Symbol.asyncDispose](),
  }
}

/** Returns how many packs were listed. */
async function putPacksRight(objects: ObjectStore, database: Database): Promise<number> {
  await deleteLeftPacks(objects, database)
  return (await adoptPacks(objects, database)).adoptedCount
}

async function clearDirectory(directory: string): Promise<void> {
  try {
    await makeDirectories(directory)
    for (const name of await readdir(directory)) {
      if (name.endsWith('.pack') || name.endsWith(spoolSuffix)) await rm(join(directory, name))
    }
  } catch (error) {
    throw directoryError(error, `scratch directory ${directory}`, directory)
  }
}
