import type { Migrations } from '../database/database.ts'

/** The tables of `Objects`. Layout of `content`: docs/formats/staged-writes.md, "content". */
export const objectMigrations: Migrations = {
  layer: 'objects',
  steps: [
    [
      `CREATE TABLE objects (
        hash TEXT NOT NULL PRIMARY KEY,
        content BYTES NOT NULL
      )`,
      `CREATE TABLE object_tags (
        name TEXT NOT NULL PRIMARY KEY,
        hash TEXT NOT NULL
      )`,
    ],
    [
      // When it was put last, in microseconds since 1970: without a tag it stays for a while only.
      `ALTER TABLE objects ADD COLUMN put_at INTEGER NOT NULL DEFAULT 0`,
      `CREATE INDEX object_tags_by_hash ON object_tags (hash)`,
    ],
    [
      // What became of objects and trees of an old cluster, by the names that they had there.
      `CREATE TABLE imported_objects (
        hash TEXT NOT NULL PRIMARY KEY,
        run INTEGER NOT NULL,
        content BYTES NOT NULL
      )`,
      `CREATE TABLE imported_trees (
        hash TEXT NOT NULL PRIMARY KEY,
        run INTEGER NOT NULL,
        root TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        file_count INTEGER NOT NULL
      )`,
    ],
  ],
}
