import type { Database, Transaction } from '../../database/database.ts'

/**
 * Does something in a transaction, tells what it found, and has the database forget all of it. `act`
 * awaits nothing but its transaction.
 *
 * @throws what `act` throws.
 */
export async function rehearsed<Found>(
  database: Database,
  act: (tx: Transaction) => Promise<Found>,
): Promise<Found> {
  try {
    return await database.transact(async (tx): Promise<never> => {
      throw new TakenBack(await act(tx))
    })
  } catch (error) {
    // The cast: whoever threw it is above.
    if (error instanceof TakenBack) return error.found as Found
    throw error
  }
}

/** Thrown to have a transaction rolled back that was only to be looked at. */
class TakenBack extends Error {
  override readonly name = 'TakenBack'
  readonly found: unknown

  constructor(found: unknown) {
    super('a rehearsal was taken back')
    this.found = found
  }
}
