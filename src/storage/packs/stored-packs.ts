import type { Database, SqlRow, Transaction } from '../../database/database.ts'
import type { SealedPack } from './sealed-packs.ts'

interface PackRow extends SqlRow {
  readonly name: string
  readonly size_bytes: number
  readonly chunk_count: number
  readonly fingerprints: Uint8Array
}

const pageRows = 64

/** Lists a pack; nothing happens when it is listed already. */
export async function insertPack(
  tx: Transaction,
  pack: SealedPack,
  fingerprints: Uint8Array,
): Promise<void> {
  await tx.run(
    `INSERT INTO packs (name, size_bytes, chunk_count, fingerprints) VALUES (?, ?, ?, ?)
     ON CONFLICT (name) DO NOTHING`,
    pack.name,
    pack.sizeBytes,
    pack.chunkCount,
    fingerprints,
  )
}

/** All packs that are listed, in the order of their names. */
export async function* listPacks(
  database: Database,
): AsyncGenerator<{ readonly pack: SealedPack; readonly fingerprints: Uint8Array }> {
  for (let after = ''; ;) {
    const rows = await database.read((tx) =>
      tx.all<PackRow>(
        `SELECT name, size_bytes, chunk_count, fingerprints FROM packs
         WHERE name > ? ORDER BY name LIMIT ${pageRows}`,
        after,
      ),
    )
    for (const row of rows) {
      const { name, size_bytes: sizeBytes, chunk_count: chunkCount, fingerprints } = row
      yield { pack: { name, sizeBytes, chunkCount }, fingerprints }
      after = name
    }
    if (rows.length < pageRows) return
  }
}

/** The names of all packs that are listed. */
export async function listPackNames(database: Database): Promise<ReadonlySet<string>> {
  const rows = await database.read((tx) => tx.all<{ name: string }>('SELECT name FROM packs'))
  return new Set(rows.map(({ name }) => name))
}
