import type { Clock } from '../../base/clock.ts'
import { ResourceExhaustedError } from '../../base/errors.ts'
import { Turns } from '../../base/turns.ts'
import type { ReadTransaction } from '../database.ts'
import type { Connection } from './connection.ts'
import { settleThisTurn } from './microtasks.ts'
import { ReadOnlyView, SqliteTransaction } from './transaction.ts'

/** Reads that may wait; the next one is refused, so that memory stays bounded. */
const queuedReadsMax = 65_536

export interface ReaderPorts {
  /** A connection that nothing else uses. */
  readonly connection: Connection
  readonly clock: Clock
  /** Resolves when all that was visible when it is called is durable; rejects when it never will be. */
  readonly durable: () => Promise<void>
}

/** Runs reads one at a time, each on a snapshot; one takes a single turn of the event loop. */
export class Reader {
  readonly #ports: ReaderPorts
  #last: Promise<unknown> = Promise.resolve()
  readonly #turns: Turns
  #queuedCount = 0
  #refusal: Error | undefined

  constructor(ports: ReaderPorts) {
    this.#ports = ports
    // A turn, not a time: no clock could say it.
    // oxlint-disable-next-line no-restricted-globals
    this.#turns = new Turns(ports.clock, setImmediate)
  }

  /** What it answers, or throws, is durable: a crash cannot take back what a caller has seen. */
  async read<Result>(operation: (tx: ReadTransaction) => Promise<Result>): Promise<Result> {
    if (this.#refusal !== undefined) throw this.#refusal
    if (this.#queuedCount >= queuedReadsMax) {
      throw new ResourceExhaustedError(
        `${queuedReadsMax} reads wait already; try again when some have finished`,
      )
    }
    this.#queuedCount += 1
    const reading = this.#last.then(async () => {
      await this.#turns.next()
      this.#queuedCount -= 1
      try {
        return { result: await this.#inSnapshot(operation), durable: this.#ports.durable() }
      } catch (error) {
        return { error, durable: this.#ports.durable() }
      }
    })
    this.#last = reading
    const outcome = await reading
    await outcome.durable
    if ('error' in outcome) throw outcome.error
    return outcome.result
  }

  /** Finishes what is queued; refuses what comes later with `refusal`. */
  async close(refusal: Error): Promise<void> {
    this.#refusal ??= refusal
    await this.#last
  }

  async #inSnapshot<Result>(operation: (tx: ReadTransaction) => Promise<Result>): Promise<Result> {
    const { connection } = this.#ports
    connection.run('BEGIN')
    const tx = new SqliteTransaction(connection)
    try {
      const result = await settleThisTurn((async () => await operation(new ReadOnlyView(tx)))())
      tx.end()
      return result
    } finally {
      tx.abandon()
      if (connection.inTransaction) connection.run('COMMIT')
    }
  }
}
