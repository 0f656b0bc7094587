import {
  create,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf'
import { FailedPreconditionError } from '../../base/errors.ts'
import { BranchChangeSchema, Commits, CommitTagInfoSchema, Files } from '../../gen/pachyderm_pb.ts'
import { API, CommitSchema } from '../../gen/pfs_pb.ts'
import type { StoredOperation } from '../../versioning/operations.ts'
import type { Transactions } from '../../versioning/transactions.ts'
import { type CallContext, requestDecoder, type Route } from '../grpc/service.ts'
import { commitMessage } from '../pfs/messages.ts'
import { type OperationCase, recordedCases, storedOperationOf } from './operation-messages.ts'

/** The metadata that makes a call part of the transaction that it names. */
const transactionKey = 'pach-transaction'

/**
 * The routes, but that a call with `pach-transaction` becomes an operation of that transaction
 * instead of taking effect; refused where it cannot.
 */
export function recordedRoutes(
  routes: readonly Route[],
  transactions: Transactions,
): readonly Route[] {
  const recorders = new Map(
    [...API.methods, ...Commits.methods, ...Files.methods]
      .filter((method) => recordedCases.has(method.localName))
      .map((method) => [methodPath(method), recorder(method, transactions)]),
  )
  return routes.map((route) => {
    const record = recorders.get(route.path)
    return record === undefined ? refusing(route) : recording(route, record)
  })
}

function methodPath({ parent, name }: DescMethod): string {
  return `/${parent.typeName}/${name}`
}

type RecordedCase = Exclude<OperationCase, { readonly case: 'putFile' }>
type Recorder = (id: string, request: Uint8Array) => Promise<Uint8Array>

function recorder(method: DescMethod, transactions: Transactions): Recorder {
  const decode = requestDecoder(method.input)
  return async (id, request) => {
    // A recorded case has the name of its call, and its request.
    const recorded = { case: method.localName, value: decode(request) } as unknown as RecordedCase
    const operation = storedOperationOf(recorded)
    const step = await transactions.add(id, operation)
    return answerOf(operation, step.id ?? '')
  }
}

/** What is known of the answer before the operation takes effect. `id` is that of a commit it makes. */
function answerOf(operation: StoredOperation, id: string): Uint8Array {
  switch (operation.kind) {
    case 'start-commit':
      return encoded(CommitSchema, commitMessage(operation.repo, id))
    case 'merge-branch':
    case 'revert-commit':
      return encoded(BranchChangeSchema, { head: commitMessage(operation.repo, id) })
    case 'tag-commit': {
      const { repo, commit, tag } = operation
      return encoded(CommitTagInfoSchema, { tag, commit: commitMessage(repo, commit) })
    }
    default:
      return new Uint8Array(0)
  }
}

function encoded<D extends DescMessage>(answer: D, message: MessageInitShape<D>): Uint8Array {
  return toBinary(answer, create(answer, message))
}

function recording(route: Route, record: Recorder): Route {
  const { respond } = route
  if (respond.requests !== 'one' || respond.responses !== 'one') {
    throw new TypeError(`${route.path} streams, so it cannot be recorded`)
  }
  return {
    ...route,
    respond: {
      ...respond,
      call: async (request: Uint8Array, context: CallContext) => {
        const id = context.metadata.text(transactionKey)
        return id === undefined ? respond.call(request, context) : record(id, request)
      },
    },
  }
}

function refusing(route: Route): Route {
  const { respond } = route
  const check = ({ metadata }: CallContext): void => {
    if (metadata.text(transactionKey) === undefined) return
    throw new FailedPreconditionError(
      `${route.path} cannot be part of a transaction: make the call without the metadata ${transactionKey}`,
    )
  }
  if (respond.responses === 'one') {
    const call = respond.call as (request: unknown, context: CallContext) => Promise<never>
    const checked = async (request: unknown, context: CallContext): Promise<never> => {
      check(context)
      return call(request, context)
    }
    return { ...route, respond: { ...respond, call: checked } }
  }
  const call = respond.call as (request: unknown, context: CallContext) => AsyncIterable<never>
  const checked = (request: unknown, context: CallContext): AsyncIterable<never> => {
    check(context)
    return call(request, context)
  }
  return { ...route, respond: { ...respond, call: checked } }
}
