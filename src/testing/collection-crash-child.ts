// Writes chunks and references to them, takes some references back, and collects, over and over,
// until a collection reaches a step for the given time; there it kills itself:
// collection-crash-child.ts DIRECTORY STEP COUNT

import { openSqlite } from '../database/sqlite.ts'
import { SystemClock } from '../base/clock.ts'
import { storageMigrations } from '../storage/tables.ts'
import { collectReferences, crashMigrations, crashSizes } from './pack-crash.ts'
import { openPackedStore } from './packed-store.ts'
import { seededBytes } from './seeded-random.ts'

const [directory = '', step = '', count = '1'] = process.argv.slice(2)

let left = Number(count)
let isCollecting = false
const clock = new SystemClock()
const migrations = [storageMigrations, crashMigrations]
const database = await openSqlite({ path: directory, migrations, clock })
const { store } = await openPackedStore({
  directory,
  database,
  faultPoint: (reached) => {
    if (!isCollecting || reached !== step) return
    left -= 1
    if (left === 0) process.kill(process.pid, 'SIGKILL')
  },
})
const putsPerRound = 40
for (let round = 0; round < 20; round += 1) {
  {
    using _ = store.leases.begin()
    const rows: { readonly id: string; readonly seed: number; readonly size: number }[] = []
    for (let put = 0; put < putsPerRound; put += 1) {
      const seed = process.pid * 10_000 + round * putsPerRound + put
      const size = crashSizes[put % crashSizes.length] ?? 1
      rows.push({ id: await store.put(seededBytes(seed + size, size)), seed, size })
      // Some packs of one chunk.
      if (put >= putsPerRound - 10) await store.flush()
    }
    await store.flush()
    await database.transact(async (tx) => {
      for (const { id, seed, size } of rows) {
        await tx.run('INSERT INTO crash_chunks (id, seed, size) VALUES (?, ?, ?)', id, seed, size)
      }
    })
  }
  // Of each pack little is left, and of some nothing.
  await database.transact(async (tx) => {
    await tx.run('DELETE FROM crash_chunks WHERE seed % 10 <> ?', round % 10)
  })
  isCollecting = true
  await collectReferences({ store, database })
  isCollecting = false
}
