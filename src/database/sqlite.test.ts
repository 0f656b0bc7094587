import { describeDatabase } from '../testing/database-conformance.ts'
import { SystemClock } from '../base/clock.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { openSqlite } from './sqlite.ts'

describeDatabase('SQLite', async () => {
  const directory = await TemporaryDirectory.create()
  return {
    open: (migrations) =>
      openSqlite({ path: directory.path, migrations, clock: new SystemClock() }),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
})
