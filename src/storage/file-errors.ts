import {
  DataLossError,
  DomainError,
  NotFoundError,
  PermissionDeniedError,
  ResourceExhaustedError,
} from '../base/errors.ts'

/** The operating system's code of a failed call, such as `ENOENT`; else empty. */
export function systemCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : ''
}

/** What a failed file call means to a caller; anything unexpected is returned as it is. */
export function fileError(error: unknown, what: string): unknown {
  if (error instanceof DomainError) return error
  switch (systemCode(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new NotFoundError(`${what}: not found`, { cause: error })
    case 'ENOSPC':
    case 'EDQUOT':
      return new ResourceExhaustedError(`${what}: the disk is full; free some space`, {
        cause: error,
      })
    case 'EMFILE':
    case 'ENFILE':
      return new ResourceExhaustedError(`${what}: too many open files; raise the limit`, {
        cause: error,
      })
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new PermissionDeniedError(`${what}: not permitted`, { cause: error })
    case 'EIO':
      return new DataLossError(`${what}: the disk reports an error`, { cause: error })
    default:
      return error
  }
}
