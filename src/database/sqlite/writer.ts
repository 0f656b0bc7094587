import type { Clock } from '../../base/clock.ts'
import { ResourceExhaustedError, UnavailableError } from '../../base/errors.ts'
import { Turns } from '../../base/turns.ts'
import type { Transaction } from '../database.ts'
import type { Connection } from './connection.ts'
import { translateFailure } from './failure.ts'
import { settleThisTurn } from './microtasks.ts'
import { SqliteTransaction } from './transaction.ts'

/** Operations that share one COMMIT at most, and so fail together when that COMMIT fails. */
export const batchOperationsMax = 256
/** Operations that may wait; the next one is refused, so that memory stays bounded. */
const queuedOperationsMax = 65_536

/** What one commit published: the topics it emitted to and the log's end after it. */
export interface Notice {
  readonly topics: ReadonlySet<string>
  readonly lastSequence: number
}

export interface WriterPorts {
  readonly connection: Connection
  readonly clock: Clock
  /** Makes every commit so far survive a loss of power. A failure is final. */
  readonly sync: () => Promise<void>
  /** Called after each sync with what has become durable and about how many bytes it wrote. */
  readonly published: (notice: Notice, writtenBytes: number) => void
  /** Called when a sync has failed: from here on everything is refused with `refusal`. */
  readonly failed: (refusal: Error) => void
}

interface Queued {
  /** Executes the operation in its savepoint; never rejects. */
  readonly execute: (batch: Batch) => Promise<void>
  /** Answers the caller, with the reason why nothing of it stayed if there is one. */
  readonly answer: (failure?: unknown) => void
}

interface Batch {
  readonly operations: Queued[]
  readonly topics: Set<string>
  lastSequence: number
  wrote: boolean
  writtenBytes: number
  /** Why the whole transaction went away while it was being filled. */
  lost: Error | undefined
}

/**
 * Runs operations one at a time and makes many of them durable with one sync (group commit).
 *
 * A batch is one transaction, each operation a savepoint in it. While the sync of one batch is under
 * way, the operations that arrive are executed in the next; it commits when that sync has ended, and
 * no caller of it hears back before a sync that began after its COMMIT. So at any time at most one
 * commit is visible but not durable: the one that `durable` waits for.
 */
export class Writer {
  readonly #ports: WriterPorts
  readonly #queue: Queued[] = []
  readonly #turns: Turns
  #running: Promise<void> | undefined
  #syncing: Promise<void> | undefined
  #arrived: (() => void) | undefined
  #refusal: Error | undefined
  #pauses: (() => Promise<void>)[] = []

  constructor(ports: WriterPorts) {
    this.#ports = ports
    // A turn, not a time: no clock could say it.
    // oxlint-disable-next-line no-restricted-globals
    this.#turns = new Turns(ports.clock, setImmediate)
  }

  /** Why nothing works any more, once a sync has failed or the database has been closed. */
  get refusal(): Error | undefined {
    return this.#refusal
  }

  async transact<Result>(operation: (tx: Transaction) => Promise<Result>): Promise<Result> {
    if (this.#refusal !== undefined) throw this.#refusal
    if (this.#queue.length >= queuedOperationsMax) {
      throw new ResourceExhaustedError(
        `${queuedOperationsMax} writes wait already; try again when some have finished`,
      )
    }
    return await new Promise<Result>((resolve, reject) => {
      let settle: (() => void) | undefined
      this.#queue.push({
        execute: async (batch) => {
          try {
            const result = await this.#inSavepoint(batch, operation)
            settle = () => {
              resolve(result)
            }
          } catch (error) {
            settle = () => {
              // Passed on as it was thrown.
              // oxlint-disable-next-line typescript/prefer-promise-reject-errors
              reject(error)
            }
          }
        },
        answer: (failure) => {
          // oxlint-disable-next-line typescript/prefer-promise-reject-errors
          if (failure !== undefined) reject(failure)
          else settle?.()
        },
      })
      this.#arrived?.()
      this.#running ??= this.#run()
    })
  }

  /** Resolves when all that is visible now is durable; rejects when that has become impossible. */
  async durable(): Promise<void> {
    await this.#syncing
    if (this.#refusal !== undefined) throw this.#refusal
  }

  /** Runs `task` while no transaction is open and none begins, before what is queued. */
  async pauseFor(task: () => Promise<void>): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#pauses.push(async () => await task().then(resolve, reject))
      this.#arrived?.()
      this.#running ??= this.#run()
    })
  }

  /** Finishes what is queued; refuses what comes later with `refusal`. */
  async close(refusal: Error): Promise<void> {
    while (this.#running !== undefined) await this.#running
    this.#refusal ??= refusal
  }

  async #run(): Promise<void> {
    // Callers that were woken together come in together.
    await Promise.resolve()
    while (this.#queue.length > 0 || this.#pauses.length > 0 || this.#syncing !== undefined) {
      for (const pause of this.#pauses.splice(0)) await pause()
      const batch = await this.#fill()
      await this.#syncing
      this.#commit(batch)
    }
    this.#running = undefined
  }

  /** Executes operations until the previous sync has ended and none waits, or the batch is full. */
  async #fill(): Promise<Batch> {
    const batch: Batch = {
      operations: [],
      topics: new Set(),
      lastSequence: 0,
      wrote: false,
      writtenBytes: 0,
      lost: undefined,
    }
    while (this.#pauses.length === 0) {
      const next = this.#queue.shift()
      if (next !== undefined) {
        batch.operations.push(next)
        await next.execute(batch)
        if (batch.lost !== undefined) break
        if (batch.operations.length >= batchOperationsMax) break
        const turn = this.#turns.next()
        if (turn !== undefined) await turn
      } else if (this.#syncing === undefined) {
        break
      } else {
        const arrival = new Promise<void>((resolve) => {
          this.#arrived = resolve
        })
        await Promise.race([this.#syncing, arrival])
        this.#arrived = undefined
      }
    }
    return batch
  }

  async #inSavepoint<Result>(
    batch: Batch,
    operation: (tx: Transaction) => Promise<Result>,
  ): Promise<Result> {
    if (this.#refusal !== undefined) throw this.#refusal
    const { connection } = this.#ports
    if (!connection.inTransaction) connection.run('BEGIN IMMEDIATE')
    connection.run('SAVEPOINT operation')
    const tx = new SqliteTransaction(connection)
    try {
      const result = await settleThisTurn((async () => await operation(tx))())
      tx.end()
      connection.run('RELEASE operation')
      for (const topic of tx.topics) batch.topics.add(topic)
      batch.lastSequence = Math.max(batch.lastSequence, tx.lastSequence)
      batch.writtenBytes += tx.writtenBytes
      if (tx.wrote) batch.wrote = true
      return result
    } catch (error) {
      tx.abandon()
      this.#rollBackSavepoint(batch, error)
      throw error
    }
  }

  #rollBackSavepoint(batch: Batch, reason: unknown): void {
    const { connection } = this.#ports
    try {
      connection.run('ROLLBACK TO operation')
      connection.run('RELEASE operation')
    } catch {
      // A full disk, among others, makes SQLite end the whole transaction.
      batch.lost = translateFailure(reason, connection.path)
    }
  }

  #commit(batch: Batch): void {
    if (batch.operations.length === 0) return
    const { connection } = this.#ports
    let failure: Error | undefined = this.#refusal ?? batch.lost
    try {
      if (connection.inTransaction) connection.run(failure === undefined ? 'COMMIT' : 'ROLLBACK')
    } catch (error) {
      failure ??= translateFailure(error, connection.path)
      if (connection.inTransaction) connection.execute('ROLLBACK')
    }
    // What only read rests on commits that are durable by now.
    if (failure !== undefined || !batch.wrote) answerAll(batch, failure)
    else this.#syncing = this.#sync(batch)
  }

  async #sync(batch: Batch): Promise<void> {
    const { connection, failed, published, sync } = this.#ports
    let failure: Error | undefined
    try {
      await sync()
    } catch (error) {
      // The kernel may have dropped what it could not write and report the next sync as good.
      failure = new UnavailableError(
        `${connection.path} could not be synced, so its last changes may be lost; check its disk and restart the server`,
        { cause: error },
      )
      this.#refusal ??= failure
    }
    this.#syncing = undefined
    answerAll(batch, failure)
    if (failure === undefined) published(batch, batch.writtenBytes)
    else failed(failure)
  }
}

function answerAll(batch: Batch, failure: Error | undefined): void {
  for (const operation of batch.operations) operation.answer(failure)
}
