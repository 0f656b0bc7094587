import type { Migrations } from '../database/database.ts'

/** The tables of migrations from old clusters. */
export const migrationMigrations: Migrations = {
  layer: 'migration',
  steps: [
    [
      // One row while a migration is under way: what has been imported is kept for it.
      `CREATE TABLE migration_runs (
        one INTEGER NOT NULL PRIMARY KEY,
        source TEXT NOT NULL,
        started_at INTEGER NOT NULL
      )`,
      // Who might do what in the old cluster, as it was stored there: kind is admin, token or acl.
      `CREATE TABLE imported_access (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        value BYTES NOT NULL,
        PRIMARY KEY (kind, name)
      )`,
    ],
  ],
}
