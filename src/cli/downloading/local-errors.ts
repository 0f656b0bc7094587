import { FailedPreconditionError, ResourceExhaustedError } from '../../base/errors.ts'
import { NameRefusedError } from './local-names.ts'

/** Something else is where a file or a directory is to go. */
export class PlaceTakenError extends FailedPreconditionError {
  override readonly name = 'PlaceTakenError'
}

/** The local disk has no room left. */
export class LocalDiskFullError extends ResourceExhaustedError {
  override readonly name = 'LocalDiskFullError'

  constructor(directory: string, options?: ErrorOptions) {
    super(
      `no room is left on the disk of ${directory}: free some, and go on where it stopped with the same command and --resume`,
      options,
    )
  }
}

const full: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT'])
const reasons: Readonly<Record<string, string>> = {
  ENAMETOOLONG: 'its name is too long for this file system',
  EINVAL: 'this file system does not take its name',
  EILSEQ: 'this file system does not take its name',
  EISDIR: 'a directory is in its place',
  ENOTEMPTY: 'a directory is in its place',
  ENOTDIR: 'a file is where its directory should be',
  EEXIST: 'something else is in its place',
  ELOOP: 'a link is in its way',
  EXDEV: 'it would be on another disk than the rest: store it by itself',
  EACCES: 'writing there is not permitted',
  EPERM: 'writing there is not permitted',
}

/**
 * Why one file or directory cannot be stored where others can; undefined when `error` is about more
 * than that.
 */
export function reasonNotStored(error: unknown): string | undefined {
  if (error instanceof NameRefusedError || error instanceof PlaceTakenError) return error.message
  return reasons[codeOf(error)]
}

export function isDiskFull(error: unknown): boolean {
  return full.has(codeOf(error))
}

/** As it was, or, when the disk is full, with what to do. */
export function localError(error: unknown, directory: string): unknown {
  return isDiskFull(error) ? new LocalDiskFullError(directory, { cause: error }) : error
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
