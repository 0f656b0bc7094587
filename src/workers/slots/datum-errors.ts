import { DomainError } from '../../base/errors.ts'

/** What user code left in `/pfs/out`, or a name it was to be given, makes the datum fail. */
export class DatumFilesError extends DomainError {
  override readonly name = 'DatumFilesError'
  readonly kind = 'failed-precondition'
}

/** The code of a failed file call. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined
}
