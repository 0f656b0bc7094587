import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { DataLossError } from '../base/errors.ts'
import type { Database } from '../database/database.ts'
import type { ChunkId } from './chunks.ts'
import { makeDirectories } from './directories.ts'
import { type FaultPoint, noFault } from './fault-point.ts'
import { directoryError } from './file-errors.ts'
import type { ObjectStore } from './object-store.ts'
import { adoptPacks } from './packs/adopt-packs.ts'
import { PackedChunks } from './packs/packed-chunks.ts'
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
  readonly faultPoint?: FaultPoint
  /** Is told of a chunk that cannot be read any more, each time that it is asked for. */
  readonly onDataLoss?: (id: ChunkId, error: DataLossError) => void
}

const mib = 1024 * 1024

/**
 * Opens the chunks in the packs of `objects`. What a crash left is put right: unfinished packs are
 * removed, finished ones that were not listed yet are.
 */
export async function openChunkStore(
  options: ChunkStoreOptions,
): Promise<StreamStore & AsyncDisposable> {
  const { objects, database, scratchDirectory } = options
  await clearDirectory(scratchDirectory)
  await adoptPacks(objects, database)
  return await PackedChunks.open({
    objects,
    database,
    scratchDirectory,
    cacheBytes: options.cacheBytes ?? 32 * mib,
    indexCacheBytes: options.indexCacheBytes ?? 16 * mib,
    locatedChunksMax: options.locatedChunksMax ?? 8_000_000,
    faultPoint: options.faultPoint ?? noFault,
    onDataLoss: options.onDataLoss ?? (() => undefined),
  })
}

async function clearDirectory(directory: string): Promise<void> {
  try {
    await makeDirectories(directory)
    for (const name of await readdir(directory)) {
      if (name.endsWith('.pack')) await rm(join(directory, name))
    }
  } catch (error) {
    throw directoryError(error, `scratch directory ${directory}`)
  }
}
