import {
  CancelledError,
  type DomainError,
  FailedPreconditionError,
  NotFoundError,
  PermissionDeniedError,
  UnavailableError,
} from '../base/errors.ts'
import { unansweredText } from './unanswered.ts'

/** What was tried. */
export type Verb = 'read' | 'write' | 'delete'

/** What is known of a call to an object store that failed. */
export interface CloudFailure {
  /** Where it was asked, as in `https://storage.example.com:9000`. */
  readonly endpoint: string
  /** The status of HTTP; undefined when there was no answer. */
  readonly status: number | undefined
  /** What the store calls it, or what the connection did. */
  readonly code: string
}

const transientStatuses: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504])

/** The error for a call about `what`, with advice on how `credentials` are given. */
export function cloudError(
  what: string,
  { endpoint, status, code }: CloudFailure,
  context: {
    readonly credentials: string
    readonly signal: AbortSignal
    readonly cause: unknown
    readonly verb?: Verb
  },
): DomainError {
  const { credentials, signal, cause, verb = 'read' } = context
  if (signal.aborted) return new CancelledError('the transfer was cancelled', { cause })
  const said = status === undefined ? unansweredText(code) : saidOf(status, code)
  if (/credential/i.test(code)) {
    return new PermissionDeniedError(`cannot ${verb} ${what}: ${said}; ${credentials}`, { cause })
  }
  if (code === 'ENOTFOUND') {
    return new NotFoundError(`cannot ${verb} ${what} at ${endpoint}: ${said}`, { cause })
  }
  if (status === undefined || transientStatuses.has(status)) {
    return new UnavailableError(`cannot ${verb} ${what} at ${endpoint}: ${said}`, { cause })
  }
  if (status === 404)
    return new NotFoundError(`cannot ${verb} ${what}: not found (${said})`, { cause })
  if (status === 401 || status === 403 || status === 400) {
    return new PermissionDeniedError(`cannot ${verb} ${what}: refused (${said}); ${credentials}`, {
      cause,
    })
  }
  if (status === 412) {
    return new FailedPreconditionError(`cannot go on reading ${what}: it has changed meanwhile`, {
      cause,
    })
  }
  return new FailedPreconditionError(`cannot ${verb} ${what}: ${said}`, { cause })
}

function saidOf(status: number, code: string): string {
  return code === '' ? `status ${status}` : code
}
