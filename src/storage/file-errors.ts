import { statfsSync } from 'node:fs'

import {
  DataLossError,
  DiskFullError,
  DomainError,
  FailedPreconditionError,
  NotFoundError,
  PermissionDeniedError,
  ResourceExhaustedError,
} from '../base/errors.ts'
import { shortageError } from '../base/shortages.ts'

/**
 * What the disk, or the file system on it, says of bytes that it cannot give: EIO, EBADMSG, ENODATA,
 * EUCLEAN and EREMOTEIO. Not all of them have a name in Node.
 */
const diskErrors: readonly number[] = [5, 74, 61, 117, 121]

function isDiskError(error: unknown): boolean {
  return (
    error instanceof Error &&
    'errno' in error &&
    typeof error.errno === 'number' &&
    diskErrors.includes(Math.abs(error.errno))
  )
}

/** The operating system's code of a failed call, such as `ENOENT`; else empty. */
export function systemCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : ''
}

/** Whether it is files, not bytes, that the file system has no room for. */
function lacksFiles(directory: string): boolean {
  try {
    const { bavail, files, ffree } = statfsSync(directory)
    return files > 0 && ffree === 0 && bavail > 0
  } catch {
    return false
  }
}

/**
 * What a failed file call means to a caller; anything unexpected is returned as it is. `what` was
 * used, in `directory`.
 */
export function fileError(error: unknown, what: string, directory: string): unknown {
  if (error instanceof DomainError) return error
  if (isDiskError(error)) {
    return new DataLossError(`${what}: the disk reports an error`, { cause: error })
  }
  switch (systemCode(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new NotFoundError(`${what}: not found`, { cause: error })
    case 'ENOSPC':
    case 'EDQUOT':
      return new DiskFullError(directory, { cause: error, lacksFiles: lacksFiles(directory) })
    case 'EMFILE':
    case 'ENFILE':
      return new ResourceExhaustedError(
        `${what}: ${shortageError(error)?.message ?? 'too many open files'}`,
        { cause: error },
      )
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new PermissionDeniedError(`${what}: not permitted`, { cause: error })
    case 'EEXIST':
    case 'EISDIR':
      return new FailedPreconditionError(
        `${what}: something of another kind is in its place; move that away`,
        { cause: error },
      )
    case 'ELOOP':
      return new FailedPreconditionError(`${what}: its links lead in a circle; mend them`, {
        cause: error,
      })
    case 'ENAMETOOLONG':
      return new FailedPreconditionError(`${what}: the path is too long; choose a shorter one`, {
        cause: error,
      })
    default:
      return error
  }
}

/**
 * What it means that a directory cannot be made or listed; anything unexpected as it is. `what` is
 * in `directory`, or is that itself.
 */
export function directoryError(error: unknown, what: string, directory: string): unknown {
  if (error instanceof DomainError) return error
  const options = { cause: error }
  switch (systemCode(error)) {
    case 'ENOTDIR':
    case 'EEXIST':
      return new FailedPreconditionError(
        `${what}: there is a file in its way; move that away, or choose another data directory`,
        options,
      )
    case 'ENOENT':
      return new NotFoundError(
        `${what}: there is none, or a link above leads nowhere; check the path`,
        options,
      )
    case 'EACCES':
    case 'EPERM':
      return new PermissionDeniedError(
        `${what}: not permitted; check its owner and its mode, and those of the directories above`,
        options,
      )
    case 'EROFS':
      return new PermissionDeniedError(`${what}: its disk is mounted read-only`, options)
    default:
      return fileError(error, what, directory)
  }
}
