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
    [
      // What has been recorded of the contents that it brings, by all its attempts.
      'ALTER TABLE migration_runs ADD COLUMN objects INTEGER NOT NULL DEFAULT 0',
      'ALTER TABLE migration_runs ADD COLUMN object_bytes INTEGER NOT NULL DEFAULT 0',
      // By the hash of the names of all that a cluster had: what the report says that no other row does.
      `CREATE TABLE completed_migrations (
        cluster TEXT NOT NULL PRIMARY KEY,
        completed_at INTEGER NOT NULL,
        report TEXT NOT NULL
      )`,
    ],
  ],
}
