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

/** Of calls on what was there a moment before: it has gone, or become something else, or somebody holds it. */
const changedCodes = new Set<string | undefined>([
  'ENOENT',
  'ENOTDIR',
  'EISDIR',
  'ELOOP',
  'EEXIST',
  'ENXIO',
  'EAGAIN',
  'ENOTSUP',
  'EOPNOTSUPP',
])

/** Whether a call failed since somebody changes the files of the datum. */
export function isOfChange(error: unknown): boolean {
  return changedCodes.has(errorCode(error))
}

/** What it means that a file, or directory, of `/pfs` was not as it had been found. */
export function changedError(shown: string, cause?: unknown): DatumFilesError {
  return new DatumFilesError(
    `${shown} has changed after the command has ended, while it was read or written: ` +
      'user code must not hand its /pfs/out to another datum, nor go on writing to it',
    { cause },
  )
}
