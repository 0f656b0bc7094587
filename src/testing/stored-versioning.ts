import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import { openSqlite } from '../database/sqlite.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import { FileTrees } from '../storage/file-trees.ts'
import { storageMigrations } from '../storage/tables.ts'
import { versioningMigrations } from '../versioning/tables.ts'
import { createVersioning, type Versioning } from '../versioning/versioning.ts'
import { openPackedStore } from './packed-store.ts'

/** Versioning over real packs and a real database in `directory`, with nothing above it. */
export async function openStoredVersioning(
  directory: string,
): Promise<AsyncDisposable & { readonly versioning: Versioning }> {
  await using opened = new AsyncDisposableStack()
  const clock = new SystemClock()
  const migrations = [storageMigrations, versioningMigrations]
  const database = opened.use(await openSqlite({ path: directory, migrations, clock }))
  const { store } = opened.use(await openPackedStore({ directory, database }))
  const versioning = createVersioning({
    database,
    chunks: store,
    contents: new ChunkedContents(store),
    trees: new FileTrees(store),
    leases: store.leases,
    clock,
    random: new SystemRandom(),
    onHeadReady: async () => undefined,
    downstream: { topics: [], state: async () => ({ kind: 'pending' }) },
  })
  const parts = opened.move()
  return { versioning, [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose]() }
}
