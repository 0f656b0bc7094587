import { createHash } from 'node:crypto'
import type { Database } from '../../database/database.ts'
import { DataLossError } from '../../base/errors.ts'
import { chunkIdBytes } from '../chunk-id.ts'
import type { ObjectInfo, ObjectStore } from '../object-store.ts'
import { decodeIndex, decodeTrailer, entryBytes, packNameOf, trailerBytes } from './format.ts'
import type { SealedPack } from './sealed-packs.ts'
import { insertPack, listPackNames } from './stored-packs.ts'

export interface AdoptedPacks {
  readonly adoptedCount: number
  /** What is wrong with the packs that could not be listed. */
  readonly damaged: readonly DataLossError[]
}

/**
 * Lists the packs that the object store holds and the table `packs` does not: what a crash between
 * the two leaves, or all of them when the database was lost. Nothing refers to a pack before it is
 * listed, so a damaged one is reported, not thrown.
 */
export async function adoptPacks(objects: ObjectStore, database: Database): Promise<AdoptedPacks> {
  const listed = await listPackNames(database)
  const damaged: DataLossError[] = []
  let adoptedCount = 0
  for await (const info of objects.list('packs/')) {
    const name = packNameOf(info.key)
    if (name === undefined || listed.has(name)) continue
    try {
      const { pack, fingerprints } = await readPack(objects, info, name)
      await database.transact((tx) => insertPack(tx, pack, fingerprints))
      adoptedCount += 1
    } catch (error) {
      if (!(error instanceof DataLossError)) throw error
      damaged.push(error)
    }
  }
  return { adoptedCount, damaged }
}

async function readPack(
  objects: ObjectStore,
  { key, sizeBytes }: ObjectInfo,
  name: string,
): Promise<{ readonly pack: SealedPack; readonly fingerprints: Uint8Array }> {
  const what = `pack ${name}`
  const end = await objects.get(key, Math.max(0, sizeBytes - trailerBytes), trailerBytes)
  const trailer = decodeTrailer(end, sizeBytes, what)
  const indexAndFence = await objects.get(
    key,
    trailer.dataEnd,
    sizeBytes - trailerBytes - trailer.dataEnd,
  )
  const digest = createHash('sha256').update(indexAndFence).digest('hex')
  if (digest !== name || trailer.name !== name) {
    throw new DataLossError(`${what}: its index is damaged`)
  }
  const fingerprints = new Uint8Array(trailer.chunkCount * 4)
  const index = indexAndFence.subarray(0, trailer.chunkCount * entryBytes)
  let number = 0
  for (const { id } of decodeIndex(index, trailer.dataEnd, what)) {
    fingerprints.set(chunkIdBytes(id).subarray(0, 4), number * 4)
    number += 1
  }
  return { pack: { name, sizeBytes, chunkCount: trailer.chunkCount }, fingerprints }
}
