import type { MessageInitShape } from '@bufbuild/protobuf'
import { InvalidArgumentError } from '../base/errors.ts'
import {
  type OperationResultSchema,
  type StoredOperationSchema,
  type Transaction,
  type TransactionInfoSchema,
  Transactions,
} from '../gen/pachyderm_pb.ts'
import { makesCommit, type Operation, type StepResult } from '../versioning/operations.ts'
import type { StoredStep, TransactionSummary } from '../versioning/transactions.ts'
import type { Versioning } from '../versioning/versioning.ts'
import { service, type Route } from './grpc/service.ts'
import { commitMessage, timestampOf } from './pfs/messages.ts'
import { requireText } from './pfs/names.ts'
import {
  type OperationCase,
  operationMessage,
  operationOf,
} from './transactions/operation-messages.ts'
import { recordedRoutes } from './transactions/recorded-calls.ts'

/** Transactions in one batch: at most some 4 KiB each. */
const batchCount = 100

/** `routes`, whose calls may become part of a transaction, and pachyderm.Transactions. */
export function withTransactions(
  routes: readonly Route[],
  versioning: Versioning,
): readonly Route[] {
  const recorded = recordedRoutes(routes, versioning.transactions)
  return [...recorded, ...transactionsRoutes(versioning)]
}

/** pachyderm.Transactions: changes to several repos that happen at one instant. */
function transactionsRoutes({ transactions }: Versioning): readonly Route[] {
  return service(Transactions, {
    async startTransaction({ description }) {
      const { id } = await transactions.start(description)
      return { id }
    },

    async finishTransaction({ transaction }, { signal }) {
      const info = await transactions.finish(requireTransaction(transaction), signal)
      return infoMessage(info, info.steps)
    },

    async inspectTransaction({ transaction }) {
      const info = await transactions.inspect(requireTransaction(transaction))
      return infoMessage(info, info.steps)
    },

    async *listTransactions() {
      let transactionInfo: MessageInitShape<typeof TransactionInfoSchema>[] = []
      for await (const summary of transactions.list()) {
        transactionInfo.push(infoMessage(summary, []))
        if (transactionInfo.length < batchCount) continue
        yield { transactionInfo }
        transactionInfo = []
      }
      if (transactionInfo.length > 0) yield { transactionInfo }
    },

    async deleteTransaction({ transaction }) {
      await transactions.delete(requireTransaction(transaction))
      return {}
    },

    async runTransaction({ operations }, { signal }) {
      const steps = operations.map(({ operation }, index) =>
        numberedOperation(operation, { index, count: operations.length }),
      )
      const results = await transactions.run(steps, signal)
      return { results: results.map(resultMessage) }
    },
  })
}

/** As `operationOf`, but that errors say which operation is meant, counted from 1. */
function numberedOperation(
  operation: OperationCase,
  { index, count }: { readonly index: number; readonly count: number },
): Operation {
  try {
    return operationOf(operation)
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    const place = `operation ${index + 1} of ${count}`
    throw new InvalidArgumentError(`${place}: ${error.message}`, { cause: error })
  }
}

function requireTransaction(transaction: Transaction | undefined): string {
  return requireText(transaction?.id, 'transaction.id', 'the id of a transaction is needed')
}

function infoMessage(
  summary: TransactionSummary,
  steps: readonly StoredStep[],
): MessageInitShape<typeof TransactionInfoSchema> {
  const { id, description, startedAt, finishedAt, operationCount } = summary
  return {
    transaction: { id },
    description,
    started: timestampOf(startedAt),
    ...(finishedAt !== undefined && { finished: timestampOf(finishedAt) }),
    operationCount,
    operations: steps.map(stepMessage),
  }
}

function stepMessage(step: StoredStep): MessageInitShape<typeof StoredOperationSchema> {
  const { operation, id, result } = step
  return {
    operation: operationMessage(operation),
    ...(makesCommit(operation) &&
      id !== undefined && { reserved: commitMessage(operation.repo, id) }),
    ...(result !== undefined && { result: resultMessage(result) }),
  }
}

function resultMessage(
  result: StepResult | undefined,
): MessageInitShape<typeof OperationResultSchema> {
  return result === undefined ? {} : { commit: commitMessage(result.repo, result.id) }
}
