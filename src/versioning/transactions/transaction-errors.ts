import {
  DomainError,
  type ErrorKind,
  FailedPreconditionError,
  NotFoundError,
} from '../../base/errors.ts'
import { type Operation, operationText } from '../operations.ts'

/** Nothing of the transaction was done. The kind is that of what went wrong, the cause. */
export class OperationFailedError extends DomainError {
  override readonly name = 'OperationFailedError'
  readonly kind: ErrorKind
  /** Of the operation in the transaction. */
  readonly index: number
  readonly operation: Operation
  override readonly cause: DomainError

  constructor(
    operation: Operation,
    place: { readonly index: number; readonly count: number },
    cause: DomainError,
  ) {
    super(
      `operation ${place.index + 1} of ${place.count} (${operationText(operation)}) failed, so nothing of the transaction was done: ${cause.message}`,
      { cause },
    )
    this.kind = cause.kind
    this.index = place.index
    this.operation = operation
    this.cause = cause
  }
}

/** The operation was not added: it, or one before it, could not be done. */
export class OperationRefusedError extends DomainError {
  override readonly name = 'OperationRefusedError'
  readonly kind: ErrorKind

  constructor(transaction: string, added: Operation, failed: OperationFailedError) {
    const { cause, index, operation } = failed
    const reason =
      operation === added
        ? cause.message
        : `operation ${index + 1} of it (${operationText(operation)}) cannot be done any more: ${cause.message}`
    super(`cannot add ${operationText(added)} to transaction ${transaction}: ${reason}`, { cause })
    this.kind = failed.kind
  }
}

export class TransactionNotFoundError extends NotFoundError {
  override readonly name = 'TransactionNotFoundError'
  readonly transaction: string

  constructor(transaction: string, options?: ErrorOptions) {
    super(
      `transaction ${JSON.stringify(transaction.slice(0, 100))} not found: it was deleted, or is forgotten, as open ones are after 7 days and finished ones after a day; see list-transaction`,
      options,
    )
    this.transaction = transaction
  }
}

/** What has been finished takes no more operations. */
export class TransactionFinishedError extends FailedPreconditionError {
  override readonly name = 'TransactionFinishedError'
  readonly transaction: string

  constructor(transaction: string, options?: ErrorOptions) {
    super(
      `transaction ${transaction} has already finished; start another with start-transaction, or stop using this one with stop-transaction`,
      options,
    )
    this.transaction = transaction
  }
}
