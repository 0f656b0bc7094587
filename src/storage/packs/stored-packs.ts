import { assert } from '../../base/errors.ts'
import type { Database, ReadTransaction, SqlRow, Transaction } from '../../database/database.ts'
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
  // A name that is no text is read as another, and would come for ever.
  if (rows.at(-1)?.name === after) return []
  return rows.map(({ name, size_bytes: sizeBytes, chunk_count: chunkCount, fingerprints }) => ({
    pack: { name, sizeBytes, chunkCount },
    fingerprints,
  }))
}

/** All packs that are listed, in the order of their names. */
export async function* listPacks(database: Database): AsyncGenerator<ListedPack> {
  for (let after = ''; ;) {
    const page = await packsAfter(database, after)
    yield* page
    const last = page.at(-1)
    if (last === undefined) return
    after = last.pack.name
  }
}

export async function isPackListed(tx: ReadTransaction, name: string): Promise<boolean> {
  return (await tx.get('SELECT name FROM packs WHERE name = ?', name)) !== undefined
}

interface DamageRow extends SqlRow {
  readonly name: string
  readonly size_bytes: number
  readonly chunk_count: number
  readonly chunks: Uint8Array
}

/** What is known of damaged chunks in packs that are listed: one bit a chunk, by its place in the index. */
export async function damageOfPacks(
  database: Database,
): Promise<readonly { readonly pack: SealedPack; readonly chunks: Uint8Array }[]> {
  const rows = await database.read((tx) =>
    tx.all<DamageRow>(
      `SELECT p.name, p.size_bytes, p.chunk_count, d.chunks
        FROM damaged_chunks d JOIN packs p ON p.name = d.pack`,
    ),
  )
  return rows.map(({ name, size_bytes: sizeBytes, chunk_count: chunkCount, chunks }) => ({
    pack: { name, sizeBytes, chunkCount },
    chunks,
  }))
}

/** Notes which chunks of a pack are damaged, if it is listed; undefined: none is. */
export async function saveDamage(
  tx: Transaction,
  name: string,
  chunks: Uint8Array | undefined,
): Promise<void> {
  if (chunks === undefined || !(await isPackListed(tx, name))) {
    await forgetDamage(tx, name)
    return
  }
  await tx.run(
    `INSERT INTO damaged_chunks (pack, chunks) VALUES (?, ?)
      ON CONFLICT (pack) DO UPDATE SET chunks = excluded.chunks`,
    name,
    chunks,
  )
}

async function forgetDamage(tx: Transaction, name: string): Promise<void> {
  await tx.run('DELETE FROM damaged_chunks WHERE pack = ?', name)
}

/** Takes a pack off the list, to be deleted. */
export async function retirePack(tx: Transaction, pack: SealedPack): Promise<void> {
  const changed = await tx.run('DELETE FROM packs WHERE name = ?', pack.name)
  assert(changed === 1, `pack ${pack.name} is listed until it is retired`)
  await forgetDamage(tx, pack.name)
  await tx.run(
    'INSERT INTO retired_packs (name, size_bytes) VALUES (?, ?)',
    pack.name,
    pack.sizeBytes,
  )
}

/** Forgets retired packs whose objects are gone. */
export async function forgetRetiredPacks(tx: Transaction, names: readonly string[]): Promise<void> {
  for (const name of names) await tx.run('DELETE FROM retired_packs WHERE name = ?', name)
}

export async function retiredPackNames(database: Database): Promise<readonly string[]> {
  const rows = await database.read((tx) =>
    tx.all<{ name: string }>('SELECT name FROM retired_packs'),
  )
  return rows.map(({ name }) => name)
}

/** How large all packs were after the last collection; 0 when there was none. */
export async function sizeBytesCollected(database: Database): Promise<number> {
  const row = await database.read((tx) =>
    tx.get<{ readonly size_bytes: number }>('SELECT size_bytes FROM last_collection WHERE one = 1'),
  )
  return row?.size_bytes ?? 0
}

/** Notes how large all packs are after a collection. */
export async function noteCollected(database: Database, sizeBytes: number): Promise<void> {
  await database.transact(
    (tx) =>
      tx.run(
        `INSERT INTO last_collection (one, size_bytes) VALUES (1, ?)
          ON CONFLICT (one) DO UPDATE SET size_bytes = excluded.size_bytes`,
        sizeBytes,
      ),
    { usesReserve: true },
  )
}

/** The names of all packs that are listed. */
export async function listPackNames(database: Database): Promise<ReadonlySet<string>> {
  const rows = await database.read((tx) => tx.all<{ name: string }>('SELECT name FROM packs'))
  return new Set(rows.map(({ name }) => name))
}

/** Undefined when the pack is not listed. */
export async function findPackRow(
  tx: ReadTransaction,
  name: string,
): Promise<{ readonly name: string } | undefined> {
  return await tx.get<{ readonly name: string }>('SELECT name FROM packs WHERE name = ?', name)
}

/** Writes what the pack itself says over its row; false when it has none. */
export async function updatePackRow(
  tx: Transaction,
  pack: SealedPack,
  fingerprints: Uint8Array,
): Promise<boolean> {
  const changed = await tx.run(
    'UPDATE packs SET size_bytes = ?, chunk_count = ?, fingerprints = ? WHERE name = ?',
    pack.sizeBytes,
    pack.chunkCount,
    fingerprints,
    pack.name,
  )
  return changed > 0
}

/** False when there was none. */
export async function deletePackRow(tx: Transaction, name: string): Promise<boolean> {
  await forgetDamage(tx, name)
  return (await tx.run('DELETE FROM packs WHERE name = ?', name)) > 0
}

/** Whether a collection has taken the pack off the list, and its object is to be deleted. */
export async function isRetired(tx: ReadTransaction, name: string): Promise<boolean> {
  return (await tx.get('SELECT name FROM retired_packs WHERE name = ?', name)) !== undefined
}

/** Packs that are listed, and noted as retired: no transaction of ours leaves any. */
export async function listedAndRetired(database: Database): Promise<readonly string[]> {
  const rows = await database.read((tx) =>
    tx.all<{ name: string }>(
      'SELECT r.name FROM retired_packs r JOIN packs p ON p.name = r.name ORDER BY r.name',
    ),
  )
  return rows.map(({ name }) => name)
}

/** What is listed stays. False when it is not both, any more. */
export async function keepListedPack(tx: Transaction, name: string): Promise<boolean> {
  if (!(await isPackListed(tx, name))) return false
  return (await tx.run('DELETE FROM retired_packs WHERE name = ?', name)) > 0
}
