// Writes chunks and commits references to them, until it reaches a step of a durable write for the
// given time and kills itself there: pack-crash-child.ts DIRECTORY STEP COUNT [BUCKET]

import { crashSizes, killAt, openNamedCrashStore } from './pack-crash.ts'
import { seededBytes } from './seeded-random.ts'

const args = process.argv.slice(2)
const [, step = '', count = '1'] = args

const { database, store } = await openNamedCrashStore(args, killAt({ step, count }))
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
