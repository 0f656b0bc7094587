import type { Migrations } from '../database/database.ts'

/** References to chunks, committed only after the flush that covers them. */
export const crashMigrations: Migrations = {
  layer: 'crash test',
  steps: [
    ['CREATE TABLE crash_chunks (id TEXT NOT NULL, seed INTEGER NOT NULL, size INTEGER NOT NULL)'],
  ],
}

export const crashSizes: readonly number[] = [100, 5000, 300_000]
