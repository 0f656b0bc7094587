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
  ],
}
