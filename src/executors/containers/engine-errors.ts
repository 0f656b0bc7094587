import { FailedPreconditionError, UnavailableError } from '../../base/errors.ts'

/** The HTTP status of an engine's refusal. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number'
    ? error.statusCode
    : undefined
}

/** What an engine said, without what its client puts around it. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { json } = error as { readonly json?: unknown }
  if (typeof json === 'object' && json !== null && 'message' in json) return String(json.message)
  return error.message
}

/** An engine that refuses, or that nobody reaches. `where`: its address, and what was asked of it. */
export function engineError(
  error: unknown,
  where: string,
): FailedPreconditionError | UnavailableError {
  const text = textOf(error).trim()
  if (statusOf(error) !== undefined) {
    return new FailedPreconditionError(`container engine at ${where}: ${text}`, { cause: error })
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return new UnavailableError(`no container engine at ${where}: ${adviceOn(code, text)}`, {
    cause: error,
  })
}

/** Whether an engine that did not answer may still do what it was asked. */
export function wasAsked({ cause }: UnavailableError): boolean {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return !['ENOENT', 'ECONNREFUSED', 'EACCES', 'EPERM'].includes(code)
}

function adviceOn(code: string, text: string): string {
  switch (code) {
    case 'ENOENT':
      return 'there is no such socket; start Docker or "podman system service", or name another with --container-engine'
    case 'ECONNREFUSED':
      return 'nobody answers at this socket; start Docker or "podman system service"'
    case 'EACCES':
    case 'EPERM':
      return "pachd's user may not use this socket; add the user to the group that owns it, or use an engine of that user's own"
    default:
      return text
  }
}
