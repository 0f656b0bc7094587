import {
  CancelledError,
  type DomainError,
  FailedPreconditionError,
  NotFoundError,
  PermissionDeniedError,
  UnavailableError,
} from '../base/errors.ts'

/** What was tried. */
export type Verb = 'read' | 'write' | 'delete'

/** What is known of a call to an object store that failed. */
export interface CloudFailure {
  /** The status of HTTP; undefined when there was no answer. */
  readonly status: number | undefined
  /** What the store calls it, or what the connection did. */
  readonly code: string
}

const transientStatuses: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504])

/** The error for a call about `what`, with advice on how `credentials` are given. */
export function cloudError(
  what: string,
  { status, code }: CloudFailure,
  context: {
    readonly credentials: string
    readonly signal: AbortSignal
    readonly cause: unknown
    readonly verb?: Verb
  },
): DomainError {
  const { credentials, signal, cause, verb = 'read' } = context
  if (signal.aborted) return new CancelledError('the transfer was cancelled', { cause })
  const said = saidOf(status, code)
  if (/credential/i.test(code)) {
    return new PermissionDeniedError(`cannot ${verb} ${what}: ${said}; ${credentials}`, { cause })
  }
  if (code === 'ENOTFOUND') {
    return new NotFoundError(`cannot ${verb} ${what}: there is no host of its name`, { cause })
  }
  if (status === undefined || transientStatuses.has(status)) {
    return new UnavailableError(`cannot ${verb} ${what}: ${said}`, { cause })
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

/** What is said of a certificate, if that is what `code` is about; `reason` is for people. */
export function distrustOf(code: string, reason: string = code): string | undefined {
  if (!/CERT|SELF_SIGNED|ERR_TLS|UNABLE_TO/.test(code)) return undefined
  return `its certificate cannot be trusted (${reason}); to trust one of your own, start pachd with NODE_EXTRA_CA_CERTS=FILE`
}

function saidOf(status: number | undefined, code: string): string {
  if (code === 'TimeoutError') return 'it did not answer in time'
  // The name may be right: a server of names did not answer, as on a machine without a network.
  if (code === 'EAI_AGAIN') return 'its host cannot be looked up now (EAI_AGAIN)'
  return code === '' ? `status ${status}` : (distrustOf(code) ?? code)
}
