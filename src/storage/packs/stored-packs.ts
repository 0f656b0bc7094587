import { assert } from '../../base/errors.ts'
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

export interface ListedPack {
  readonly pack: SealedPack
  readonly fingerprints: Uint8Array
}

/** The next packs that are listed, in the order of their names; the last page is empty. */
export async function packsAfter(
  database: Database,
  after: string,
): Promise<readonly ListedPack[]> {
  const rows = await database.read((tx) =>
    tx.all<PackRow>(
      `SELECT name, size_bytes, chunk_count, fingerprints FROM packs
        WHERE name > ? ORDER BY name LIMIT ${pageRows}`,
      after,
    ),
  )
  return rows.map(({ name, size_bytes: sizeBytes, chunk_count: chunkCount, fingerprints }) => ({
    pack: { name, sizeBytes, chunkCount },
    fingerprints,
  }))
}

/** Takes a pack off the list, to be deleted. */
export async function retirePack(tx: Transaction, pack: SealedPack): Promise<void> {
  const changed = await tx.run('DELETE FROM packs WHERE name = ?', pack.name)
  assert(changed === 1, `pack ${pack.name} is listed until it is retired`)
  await tx.run(
    'INSERT INTO retired_packs (name, size_bytes) VALUES (?, ?)',
    pack.name,
    pack.sizeBytes,
  )
}

/** Forgets a retired pack whose object is gone. */
export async function forgetRetiredPack(tx: Transaction, name: string): Promise<void> {
  await tx.run('DELETE FROM retired_packs WHERE name = ?', name)
}

export async function retiredPackNames(database: Database): Promise<readonly string[]> {
  const rows = await database.read((tx) =>
    tx.all<{ name: string }>('SELECT name FROM retired_packs'),
  )
  return rows.map(({ name }) => name)
}

/** The names of all packs that are listed. */
export async function listPackNames(database: Database): Promise<ReadonlySet<string>> {
  const rows = await database.read((tx) => tx.all<{ name: string }>('SELECT name FROM packs'))
  return new Set(rows.map(({ name }) => name))
}
