import type { Instant } from '../../base/clock.ts'
import type { ReadTransaction, SqlRow, Transaction } from '../../database/database.ts'

/** What is known of a secret without its values. */
export interface SecretRecord {
  readonly name: string
  /** Of its values: another one with each change. */
  readonly revision: string
  /** Sorted. */
  readonly entryNames: readonly string[]
  readonly createdAt: Instant
  readonly updatedAt: Instant
}

/** Its values, encrypted. */
export interface SealedValues {
  readonly keyId: string
  readonly sealed: Uint8Array
}

interface SecretRow extends SqlRow {
  readonly name: string
  readonly revision: string
  readonly entries: string
  readonly created_at: number
  readonly updated_at: number
}

export async function findSecret(
  tx: ReadTransaction,
  name: string,
): Promise<SecretRecord | undefined> {
  const row = await tx.get<SecretRow>('SELECT * FROM secrets WHERE name = ?', name)
  return row === undefined ? undefined : secretOf(row)
}

/** At most `countMax` secrets whose names come after `last`, by name. */
export async function secretPage(
  tx: ReadTransaction,
  last: string,
  countMax: number,
): Promise<readonly SecretRecord[]> {
  const rows = await tx.all<SecretRow>(
    'SELECT * FROM secrets WHERE name > ? ORDER BY name LIMIT ?',
    last,
    countMax,
  )
  return rows.map(secretOf)
}

export async function countSecrets(tx: ReadTransaction): Promise<number> {
  const row = await tx.get<{ readonly n: number }>('SELECT COUNT(*) AS n FROM secrets')
  return row?.n ?? 0
}

/** Undefined when they are gone, or are those of another revision. */
export async function findSealed(
  tx: ReadTransaction,
  { name, revision }: SecretRecord,
): Promise<SealedValues | undefined> {
  const row = await tx.get<{ readonly key_id: string; readonly sealed: Uint8Array }>(
    'SELECT key_id, sealed FROM secret_values WHERE name = ? AND revision = ?',
    name,
    revision,
  )
  return row && { keyId: row.key_id, sealed: row.sealed }
}

export async function putSecret(
  tx: Transaction,
  secret: SecretRecord,
  values: SealedValues,
): Promise<void> {
  const { name, revision, entryNames, createdAt, updatedAt } = secret
  await tx.run(
    `INSERT INTO secrets (name, revision, entries, created_at, updated_at) VALUES (?, ?, ?, ?, ?)
      ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, entries = excluded.entries,
        created_at = excluded.created_at, updated_at = excluded.updated_at`,
    name,
    revision,
    JSON.stringify(entryNames),
    createdAt,
    updatedAt,
  )
  await tx.run(
    `INSERT INTO secret_values (name, revision, key_id, sealed) VALUES (?, ?, ?, ?)
      ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, key_id = excluded.key_id,
        sealed = excluded.sealed`,
    name,
    revision,
    values.keyId,
    values.sealed,
  )
}

export async function removeSecret(tx: Transaction, name: string): Promise<void> {
  await tx.run('DELETE FROM secret_values WHERE name = ?', name)
  await tx.run('DELETE FROM secrets WHERE name = ?', name)
}

/** Names of secrets whose values are sealed with another key, after `last`. */
export async function sealedOtherwise(
  tx: ReadTransaction,
  keyId: string,
  last: string,
): Promise<readonly string[]> {
  const rows = await tx.all<{ readonly name: string }>(
    'SELECT name FROM secret_values WHERE key_id <> ? AND name > ? ORDER BY name LIMIT 100',
    keyId,
    last,
  )
  return rows.map(({ name }) => name)
}

function secretOf(row: SecretRow): SecretRecord {
  // Rows are written by this file only, from checked values.
  return {
    name: row.name,
    revision: row.revision,
    entryNames: JSON.parse(row.entries) as readonly string[],
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}
