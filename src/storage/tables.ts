import type { Migrations } from '../database/database.ts'

/**
 * The tables of this layer. `packs` lists the packs in the object store, `retired_packs` those that
 * are about to be deleted from it, `damaged_chunks` copies of chunks that no put may rely on,
 * and `last_collection` how large all packs were after it; see
 * `docs/formats/packs.md`.
 */
export const storageMigrations: Migrations = {
  layer: 'storage',
  steps: [
    [
      `CREATE TABLE packs (
        name TEXT NOT NULL PRIMARY KEY,
        size_bytes INTEGER NOT NULL,
        chunk_count INTEGER NOT NULL,
        fingerprints BYTES NOT NULL
      )`,
    ],
    [
      `CREATE TABLE retired_packs (
        name TEXT NOT NULL PRIMARY KEY,
        size_bytes INTEGER NOT NULL
      )`,
    ],
    [
      `CREATE TABLE damaged_chunks (
        pack TEXT NOT NULL PRIMARY KEY,
        chunks BYTES NOT NULL
      )`,
      `CREATE TABLE last_collection (
        one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
        size_bytes INTEGER NOT NULL
      )`,
    ],
  ],
}
