import { SystemClock } from '../base/clock.ts'
import type { Database, Migrations } from '../database/database.ts'
import { openSqlite } from '../database/sqlite.ts'
import { TemporaryDirectory } from './temporary-directory.ts'

/** A real, empty database with the given layers' tables; disposing closes and removes it. */
export async function temporaryDatabase(
  migrations: readonly Migrations[],
): Promise<AsyncDisposable & { readonly database: Database }> {
  await using opened = new AsyncDisposableStack()
  const directory = opened.use(await TemporaryDirectory.create())
  const database = opened.use(
    await openSqlite({ path: directory.path, migrations, clock: new SystemClock() }),
  )
  const held = opened.move()
  return {
    database,
    async [Symbol.asyncDispose]() {
      await held.disposeAsync()
    },
  }
}
