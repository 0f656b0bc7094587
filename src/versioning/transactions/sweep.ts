import type { Clock } from '../../base/clock.ts'
import type { Database } from '../../database/database.ts'
import { agedTransactions, deleteTransaction } from './transaction-records.ts'

const microsPerDay = 24 * 3600 * 1_000_000
/** An open transaction is forgotten so long after its start: nothing of it happens. */
const openMicrosMax = 7 * microsPerDay
/** A finished one so long after its finish. */
const finishedMicrosMax = microsPerDay
/** How often old ones are looked for. */
const sweepMs = 3600 * 1000
/** Transactions that are forgotten at once, so that others do not wait long. */
const sweptMax = 10

/** Forgets transactions that are too old, until `signal` aborts. */
export async function sweepTransactions(
  { clock, database }: { readonly clock: Clock; readonly database: Database },
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const now = clock.now()
    const before = { startedAt: now - openMicrosMax, finishedAt: now - finishedMicrosMax }
    for (;;) {
      const ids = await database.read((tx) => agedTransactions(tx, before, sweptMax))
      if (ids.length === 0) break
      await database.transact(async (tx) => {
        for (const id of ids) await deleteTransaction(tx, id)
      })
    }
    await clock.sleep(sweepMs, signal)
  }
}
