import { join } from 'node:path'
import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import type { Database } from '../database/database.ts'
import { openSqlite } from '../database/sqlite.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import type { FaultPoint } from '../storage/fault-point.ts'
import { FileTrees } from '../storage/file-trees.ts'
import { FileSpools } from '../storage/spool.ts'
import { storageMigrations } from '../storage/tables.ts'
import { versioningMigrations } from '../versioning/tables.ts'
import { transactionMigrations } from '../versioning/transaction-tables.ts'
import { createVersioning, type Versioning } from '../versioning/versioning.ts'
import { TestCommitUses } from './test-commit-uses.ts'
import { openPackedStore } from './packed-store.ts'

/** Versioning over real packs and a real database in `directory`, with nothing above it. */
export async function openStoredVersioning(
  directory: string,
  options: { readonly faultPoint?: FaultPoint } = {},
): Promise<AsyncDisposable & { readonly versioning: Versioning; readonly database: Database }> {
  await using opened = new AsyncDisposableStack()
  const clock = new SystemClock()
  const migrations = [storageMigrations, versioningMigrations, transactionMigrations]
  const database = opened.use(await openSqlite({ path: directory, migrations, clock }))
  const { store } = opened.use(await openPackedStore({ ...options, directory, database }))
  const versioning = createVersioning({
    database,
    chunks: store,
    contents: new ChunkedContents(store),
    trees: new FileTrees(store),
    leases: store.leases,
    spools: new FileSpools(join(directory, 'scratch')),
    clock,
    random: new SystemRandom(),
    onHeadReady: async () => undefined,
    downstream: {
      topics: [],
      state: async () => ({ kind: 'pending' }),
      cause: async () => undefined,
      besides: async () => new Set(),
      cutOff: async () => new Set(),
    },
    uses: new TestCommitUses(),
  })
  const parts = opened.move()
  return { versioning, database, [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose]() }
}
