// Writes chunks and commits references to them, until it reaches a step of a durable write for the
// given time and kills itself there: pack-crash-child.ts DIRECTORY STEP COUNT

import { openSqlite } from '../database/sqlite.ts'
import { SystemClock } from '../base/clock.ts'
import { storageMigrations } from '../storage/tables.ts'
import { crashMigrations, crashSizes } from './pack-crash.ts'
import { openPackedStore } from './packed-store.ts'
import { seededBytes } from './seeded-random.ts'

const [directory = '', step = '', count = '1'] = process.argv.slice(2)

let left = Number(count)
const database = await openSqlite({
  path: directory,
  migrations: [storageMigrations, crashMigrations],
  clock: new SystemClock(),
})
const { store } = await openPackedStore({
  directory,
  database,
  faultPoint: (reached) => {
    if (reached !== step) return
    left -= 1
    if (left === 0) process.kill(process.pid, 'SIGKILL')
  },
})
for (let round = 0; round < 50; round += 1) {
  // Different bytes in each round of each run: what was put before would not be written again.
  const seed = process.pid * 100 + round
  const writes = crashSizes.map(async (size) => {
    const id = await store.put(seededBytes(seed + size, size))
    await store.flush()
    await database.transact(async (tx) => {
      await tx.run('INSERT INTO crash_chunks (id, seed, size) VALUES (?, ?, ?)', id, seed, size)
    })
  })
  await Promise.all(writes)
}
