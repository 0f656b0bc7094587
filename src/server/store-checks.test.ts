import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { openSqlite } from '../database/sqlite.ts'
import { openPackedStore } from '../testing/packed-store.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { migrations } from './migrations.ts'
import { StoreChecks } from './store-checks.ts'

test('a second check is refused until the first has ended', async () => {
  await using directory = await TemporaryDirectory.create()
  const clock = new SystemClock()
  await using database = await openSqlite({ path: directory.path, migrations, clock })
  await using packed = await openPackedStore({ directory: directory.path, database })
  const { store: chunks, objects } = packed
  const metadata = join(directory.path, 'metadata.db')
  const checks = new StoreChecks({ database, metadata, objects, chunks, clock })
  const options = { full: true, fix: false }
  const { signal } = new AbortController()
  const first = checks.run(options, signal)
  // It has not ended before its last event has been taken.
  await first.next()
  await expect(checks.run(options, signal).next()).rejects.toThrow(/is running already/)
  await first.return(undefined)
  const events = await Array.fromAsync(checks.run(options, signal))
  expect(events.at(-1)).toMatchObject({ kind: 'end', counts: { errors: 0, warnings: 0 } })
})
