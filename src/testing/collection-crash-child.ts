// Writes chunks and references to them, takes some references back, and collects, over and over,
// until a collection reaches a step for the given time; there it kills itself:
// collection-crash-child.ts DIRECTORY STEP COUNT [BUCKET]

import { collectReferences, crashSizes, killAt, openNamedCrashStore } from './pack-crash.ts'
import { seededBytes } from './seeded-random.ts'

const args = process.argv.slice(2)
const [, step = '', count = '1'] = args

let isCollecting = false
const kill = killAt({ step, count })
const { database, store } = await openNamedCrashStore(args, (reached) => {
  if (isCollecting) kill(reached)
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
