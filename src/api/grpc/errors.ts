import { Code, encodeStatusMessage, errorKindTrailer } from '../../base/grpc-wire.ts'
import { MalformedMessageError, OversizedMessageError } from '../../base/grpc-messages.ts'
import { DomainError, type ErrorKind } from '../../base/errors.ts'

/** How a service words its failures: `classic` as 1.5 did, `rich` with the codes of gRPC. */
export type ErrorStyle = 'classic' | 'rich'

/** How a call ended. */
export interface Status {
  readonly code: Code
  readonly message: string
  readonly kind?: ErrorKind
}

/** A failure of the call itself, whatever its service: its code travels as it is. */
export class StatusError extends Error {
  override readonly name = 'StatusError'
  readonly code: Code

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** A kind without a code does not compile. */
const codes = {
  'invalid-argument': Code.invalidArgument,
  'not-found': Code.notFound,
  'already-exists': Code.alreadyExists,
  'failed-precondition': Code.failedPrecondition,
  conflict: Code.aborted,
  'permission-denied': Code.permissionDenied,
  'resource-exhausted': Code.resourceExhausted,
  unavailable: Code.unavailable,
  cancelled: Code.cancelled,
  unimplemented: Code.unimplemented,
  'data-loss': Code.dataLoss,
} as const satisfies Record<ErrorKind, Code>

/** Kinds that tell of the call more than of the data; 1.5's clients know their codes. */
const conditions: ReadonlySet<ErrorKind> = new Set(['cancelled', 'unimplemented'])

/**
 * What to answer when `error` was thrown.
 *
 * 1.5's clients cut exactly `rpc error: code = Unknown desc = ` from what they show, so its services
 * answer every failure of the application with that code and the error's text.
 *
 * `report` is told of errors that are bugs, and returns a reference to what it wrote down.
 */
export function statusOf(
  error: unknown,
  style: ErrorStyle,
  report: (error: unknown) => string,
): Status {
  if (error instanceof StatusError) return { code: error.code, message: error.message }
  if (error instanceof DomainError) {
    const isRich = style === 'rich' || conditions.has(error.kind)
    const code = isRich ? codes[error.kind] : Code.unknown
    return { code, message: error.message, kind: error.kind }
  }
  if (error instanceof OversizedMessageError) {
    return { code: Code.resourceExhausted, message: error.message }
  }
  if (error instanceof MalformedMessageError) {
    return { code: Code.internal, message: error.message }
  }
  return {
    code: style === 'rich' ? Code.internal : Code.unknown,
    message: `internal error (reference ${report(error)}; the server's log has the details)`,
  }
}

/** A status as headers or trailers. */
export function statusFields(status: Status): Record<string, string> {
  const fields: Record<string, string> = { 'grpc-status': String(status.code) }
  if (status.message !== '') fields['grpc-message'] = encodeStatusMessage(status.message)
  if (status.kind !== undefined) fields[errorKindTrailer] = status.kind
  return fields
}
