import type { Database } from '../../database/database.ts'
import { DamagedChunks } from './damaged-chunks.ts'
import { countBits, newChunkBits } from './recent-puts.ts'
import { damageOfPacks, saveDamage } from './stored-packs.ts'

/** What is known of damaged chunks, with what earlier processes found. */
export async function loadDamage(database: Database): Promise<DamagedChunks> {
  const rows = await damageOfPacks(database)
  const sound = rows.filter(
    ({ pack, chunks }) =>
      chunks.length === newChunkBits(pack.chunkCount).length && countBits(chunks) > 0,
  )
  return new DamagedChunks(
    (pack, chunks) => database.transact((tx) => saveDamage(tx, pack, chunks)),
    sound.map(({ pack, chunks }) => [pack.name, chunks] as const),
  )
}
