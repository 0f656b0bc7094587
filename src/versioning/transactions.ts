import { utf8 } from '../base/bytes.ts'
import { InvalidArgumentError, ResourceExhaustedError } from '../base/errors.ts'
import { parseCommitId, type CommitId } from '../base/names.ts'
import { newHexId } from '../base/random.ts'
import type { Transaction } from '../database/database.ts'
import { checkCommitNames } from './commit-records.ts'
import {
  commitNames,
  makesCommit,
  type Operation,
  operationCountMax,
  putBytesTotalMax,
  type Step,
  type StepResult,
  type StoredOperation,
} from './operations.ts'
import type { VersioningPorts } from './ports.ts'
import { checkCancelled } from './records/cancellation.ts'
import type { OpenTrees } from './staging/open-trees.ts'
import { rowBytesMax } from './staging/staged-rows.ts'
import {
  OperationFailedError,
  OperationRefusedError,
  TransactionFinishedError,
} from './transactions/transaction-errors.ts'
import { planBatch, runBatch } from './transactions/run-batch.ts'
import {
  appendStep,
  deleteTransaction,
  finishedBeyond,
  getTransaction,
  insertTransaction,
  openTransactionCount,
  setTransactionFinished,
  transactionPage,
  transactionSteps,
  type StoredStep,
  type TransactionSummary,
} from './transactions/transaction-records.ts'

export { sweepTransactions } from './transactions/sweep.ts'
export { OperationFailedError } from './transactions/transaction-errors.ts'
export type { StoredStep, TransactionSummary } from './transactions/transaction-records.ts'

/** A transaction with its operations. */
export interface TransactionInfo extends TransactionSummary {
  readonly steps: readonly StoredStep[]
}

/** Transactions that take operations. */
const openCountMax = 1000
/** Finished ones that are remembered, for a day at most. */
const finishedCountMax = 1000
/** Of finished ones beyond these, so many are forgotten with each that finishes. */
const forgottenCountMax = 10
/** The operations of one transaction, as they are stored. */
const storedBytesMax = 1024 * 1024
const descriptionLengthMax = 1000
const pageCount = 100

/**
 * Changes to several repos that happen at one instant, or not at all.
 *
 * A transaction is started, takes operations, each checked against the state that those before it
 * would leave, and is finished; or all operations come with one call. Jobs follow from the heads
 * that are ready at the end, and never read apart what has become ready together.
 */
export class Transactions {
  readonly #ports: VersioningPorts
  readonly #openTrees: OpenTrees

  constructor(ports: VersioningPorts, openTrees: OpenTrees) {
    this.#ports = ports
    this.#openTrees = openTrees
  }

  /** @throws {ResourceExhaustedError} when too many are open. */
  async start(description: string): Promise<TransactionSummary> {
    if (description.length > descriptionLengthMax) {
      throw new InvalidArgumentError(
        `a description of ${description.length} characters is too long: at most ${descriptionLengthMax} are allowed`,
      )
    }
    const { clock, database, random } = this.#ports
    const started = { id: newHexId(random), description, startedAt: clock.now() }
    return database.transact(async (tx) => {
      if ((await openTransactionCount(tx)) >= openCountMax) {
        throw new ResourceExhaustedError(
          `${openCountMax} transactions are open already; finish or delete some: see list-transaction`,
        )
      }
      await insertTransaction(tx, started)
      return getTransaction(tx, started.id)
    })
  }

  /**
   * Adds an operation that could be applied now, after those before it; it takes effect when the
   * transaction is finished. Returns the id that a commit which it starts or makes will have.
   *
   * @throws {OperationRefusedError} for what cannot be applied; the transaction stays as it was.
   * @throws {TransactionFinishedError}
   */
  async add(id: string, operation: StoredOperation): Promise<Step> {
    const step = this.#stepOf(operation)
    const text = JSON.stringify(operation)
    const stored = { text, sizeBytes: utf8(text).length, id: step.id }
    for (;;) {
      const { operationCount, steps } = await this.#openOf(id)
      requireCount(operationCount + 1)
      checkCommitNames([...steps, step].flatMap((each) => commitNames(each.operation)))
      await this.#requirePossible(id, [...steps, step], operation)
      const added = await this.#ports.database.transact(async (tx) => {
        const known = await requireOpen(tx, id)
        if (known.operationCount !== operationCount) return false
        if (known.sizeBytes + stored.sizeBytes > storedBytesMax) {
          throw new ResourceExhaustedError(
            `the operations of transaction ${id} would take more than ${storedBytesMax} bytes; finish it and go on in another`,
          )
        }
        await appendStep(tx, known, stored)
        return true
      })
      if (added) return step
      // Another operation has come between: it counts as one before this.
    }
  }

  /**
   * Applies all operations in order, at one instant. A transaction that has finished answers as it
   * did, for as long as it is remembered.
   *
   * @throws {OperationFailedError} and nothing has happened; the transaction stays open.
   */
  async finish(id: string, signal?: AbortSignal): Promise<TransactionInfo> {
    for (;;) {
      checkCancelled(signal)
      const known = await this.inspect(id)
      if (known.finishedAt !== undefined) return known
      try {
        await runBatch(this.#ports, this.#openTrees, known.steps, {
          signal,
          before: (tx) => requireUnchanged(tx, known),
          after: async (tx, results, at) => {
            await setTransactionFinished(tx, id, at, results)
            for (const old of await finishedBeyond(tx, finishedCountMax, forgottenCountMax)) {
              await deleteTransaction(tx, old)
            }
          },
        })
      } catch (error) {
        if (!(error instanceof ChangedError)) throw error
      }
    }
  }

  /** Applies operations at one instant, without a stored transaction. */
  async run(
    operations: readonly Operation[],
    signal?: AbortSignal,
  ): Promise<readonly (StepResult | undefined)[]> {
    requireCount(operations.length)
    requirePutsFit(operations)
    checkCommitNames(operations.flatMap(commitNames))
    const steps = operations.map((operation) => this.#stepOf(operation))
    return runBatch(this.#ports, this.#openTrees, steps, { signal })
  }

  /** @throws {TransactionNotFoundError} */
  async inspect(id: string): Promise<TransactionInfo> {
    return this.#ports.database.read(async (tx) => ({
      ...(await getTransaction(tx, id)),
      steps: await transactionSteps(tx, id),
    }))
  }

  /** Those that are open or remembered, the latest started first. */
  async *list(): AsyncGenerator<TransactionSummary> {
    let last: TransactionSummary | undefined
    do {
      const after = last
      const page = await this.#ports.database.read((tx) => transactionPage(tx, after, pageCount))
      yield* page
      last = page.length === pageCount ? page.at(-1) : undefined
    } while (last !== undefined)
  }

  /** Forgets a transaction: of an open one, nothing happens. @throws {TransactionNotFoundError} */
  async delete(id: string): Promise<void> {
    await this.#ports.database.transact(async (tx) => {
      await getTransaction(tx, id)
      await deleteTransaction(tx, id)
    })
  }

  async #requirePossible(id: string, steps: readonly Step[], added: Operation): Promise<void> {
    try {
      await planBatch(this.#ports, steps)
    } catch (error) {
      if (error instanceof OperationFailedError) throw new OperationRefusedError(id, added, error)
      throw error
    }
  }

  #stepOf(operation: Operation): Step {
    return { operation, id: makesCommit(operation) ? this.#newCommitId() : undefined }
  }

  #newCommitId(): CommitId {
    return parseCommitId(newHexId(this.#ports.random))
  }

  /** @throws {TransactionFinishedError} */
  async #openOf(id: string): Promise<TransactionInfo> {
    const known = await this.inspect(id)
    if (known.finishedAt !== undefined) throw new TransactionFinishedError(id)
    return known
  }
}

/** The transaction is not any more what was read: look again. */
class ChangedError extends Error {
  override readonly name = 'ChangedError'
}

async function requireUnchanged(tx: Transaction, known: TransactionSummary): Promise<void> {
  const now = await getTransaction(tx, known.id)
  if (now.finishedAt === undefined && now.operationCount === known.operationCount) return
  throw new ChangedError(`transaction ${known.id} has changed`)
}

async function requireOpen(tx: Transaction, id: string): Promise<TransactionSummary> {
  const known = await getTransaction(tx, id)
  if (known.finishedAt !== undefined) throw new TransactionFinishedError(id)
  return known
}

function requireCount(count: number): void {
  if (count <= operationCountMax) return
  throw new ResourceExhaustedError(
    `a transaction of ${count} operations is too long: at most ${operationCountMax} are allowed`,
  )
}

function requirePutsFit(operations: readonly Operation[]): void {
  let totalBytes = 0
  for (const [index, operation] of operations.entries()) {
    if (operation.kind !== 'put-file') continue
    const sizeBytes = operation.bytes.length
    if (sizeBytes > rowBytesMax) {
      throw new InvalidArgumentError(
        `operation ${index + 1} of ${operations.length} puts ${sizeBytes} bytes, but a put in a transaction is of ${rowBytesMax} at most: put larger files into an open commit before, and finish it in the transaction`,
      )
    }
    totalBytes += sizeBytes
  }
  if (totalBytes > putBytesTotalMax) {
    throw new InvalidArgumentError(
      `the puts hold ${totalBytes} bytes, but those of a transaction are of ${putBytesTotalMax} at most: put files into open commits before, and finish these in the transaction`,
    )
  }
}
