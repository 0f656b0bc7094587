import { create, type DescMethod, toBinary } from '@bufbuild/protobuf'
import { FailedPreconditionError } from '../../base/errors.ts'
import { API, CommitSchema } from '../../gen/pfs_pb.ts'
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
    API.methods
      .filter((method) => recordedCases.has(method.localName))
      .map((method) => [`/${API.typeName}/${method.name}`, recorder(method, transactions)]),
  )
  return routes.map((route) => {
    const record = recorders.get(route.path)
    return record === undefined ? refusing(route) : recording(route, record)
  })
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
    if (operation.kind !== 'start-commit') return new Uint8Array(0)
    const commit = commitMessage(operation.repo, step.id ?? '')
    return toBinary(CommitSchema, create(CommitSchema, commit))
  }
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
