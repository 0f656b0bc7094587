import type { Database } from '../../database/database.ts'
import { DataLossError } from '../../base/errors.ts'
import type { ObjectStore } from '../object-store.ts'
import { packNameOf } from './format.ts'
import { readPackIndex } from './pack-index.ts'
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
      const { pack, fingerprints } = await readPackIndex(objects, info, name)
      await database.transact((tx) => insertPack(tx, pack, fingerprints))
      adoptedCount += 1
    } catch (error) {
      if (!(error instanceof DataLossError)) throw error
      damaged.push(error)
    }
  }
  return { adoptedCount, damaged }
}
