import { DomainError, type ErrorKind } from '../../base/errors.ts'
import { StatusError } from '../grpc/errors.ts'

/** A kind without a status does not compile. */
const statuses = {
  'invalid-argument': 400,
  'not-found': 404,
  'already-exists': 409,
  'failed-precondition': 409,
  conflict: 409,
  'permission-denied': 403,
  'resource-exhausted': 503,
  unavailable: 503,
  cancelled: 503,
  unimplemented: 501,
  'data-loss': 500,
} as const satisfies Record<ErrorKind, number>

/** What only HTTP can find wrong with a request. */
export class RequestError extends Error {
  override readonly name = 'RequestError'
  readonly status: number
  readonly kind: ErrorKind
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    kind: ErrorKind,
    message: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message)
    this.status = status
    this.kind = kind
    this.headers = headers
  }
}

/** An answer that says what went wrong. */
export interface Failure {
  readonly status: number
  readonly kind: ErrorKind | 'internal'
  readonly message: string
  readonly headers: Readonly<Record<string, string>>
}

/** `report` is told of errors that are bugs, and returns a reference to what it wrote down. */
export function failureOf(error: unknown, report: (error: unknown) => string): Failure {
  if (error instanceof RequestError) {
    const { status, kind, message, headers } = error
    return { status, kind, message, headers }
  }
  if (error instanceof DomainError) {
    const { kind, message } = error
    return { status: statuses[kind], kind, message, headers: {} }
  }
  if (error instanceof StatusError) {
    const { message } = error
    return { status: 503, kind: 'resource-exhausted', message, headers: { 'retry-after': '30' } }
  }
  const reference = report(error)
  const message = `internal error (reference ${reference}; the server's log has the details)`
  return { status: 500, kind: 'internal', message, headers: {} }
}
