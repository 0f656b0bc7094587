/**
 * What can go wrong in a way that a caller can act on. Anything else that is thrown is a bug.
 *
 * Domain code knows kinds; each edge (gRPC, HTTP, exit codes) has one total table from kind to
 * its own codes.
 */
export type ErrorKind =
  | 'invalid-argument'
  | 'not-found'
  | 'already-exists'
  | 'failed-precondition'
  | 'conflict'
  | 'permission-denied'
  | 'resource-exhausted'
  | 'unavailable'
  | 'cancelled'
  | 'unimplemented'
  | 'data-loss'

/** An error with a kind. The message says what is wrong, where, and how to put it right. */
export abstract class DomainError extends Error {
  abstract readonly kind: ErrorKind
}

/** The request can never succeed as it is: a malformed name, path, glob or spec. */
export class InvalidArgumentError extends DomainError {
  override readonly name: string = 'InvalidArgumentError'
  readonly kind = 'invalid-argument'
}

/** A repo, commit, branch, file, pipeline, job, datum, tag or object that does not exist. */
export class NotFoundError extends DomainError {
  override readonly name: string = 'NotFoundError'
  readonly kind = 'not-found'
}

/** Something of that name exists already. */
export class AlreadyExistsError extends DomainError {
  override readonly name: string = 'AlreadyExistsError'
  readonly kind = 'already-exists'
}

/** The request is sound, but the state of what it names does not allow it. */
export class FailedPreconditionError extends DomainError {
  override readonly name: string = 'FailedPreconditionError'
  readonly kind = 'failed-precondition'
}

export class PermissionDeniedError extends DomainError {
  override readonly name: string = 'PermissionDeniedError'
  readonly kind = 'permission-denied'
}

/** A bound was reached: disk full, message too large, too many of something. */
export class ResourceExhaustedError extends DomainError {
  override readonly name: string = 'ResourceExhaustedError'
  readonly kind = 'resource-exhausted'
}

/** The disk that the server keeps its data on has no room left at `directory`. */
export class DiskFullError extends ResourceExhaustedError {
  override readonly name = 'DiskFullError'
  readonly directory: string
  /** It has room for bytes, and its file system holds no more files. */
  readonly lacksFiles: boolean

  /** `advice` in place of that for a server that runs. */
  constructor(
    directory: string,
    options: ErrorOptions & { readonly advice?: string; readonly lacksFiles?: boolean } = {},
  ) {
    const {
      advice = 'free some space, or delete what is not needed and run pachctl garbage-collect, or move the data directory to a larger disk',
      lacksFiles = false,
    } = options
    super(
      lacksFiles
        ? `the file system of the data directory can hold no more files, however small (at ${directory}; df -i shows it): remove files that nobody needs, or move the data directory to a file system that was made for more`
        : `the disk of the data directory is full (at ${directory}): ${advice}`,
      options,
    )
    this.directory = directory
    this.lacksFiles = lacksFiles
  }
}

/** Not reachable now: a server that is down, a port that is taken, a directory that is locked. */
export class UnavailableError extends DomainError {
  override readonly name: string = 'UnavailableError'
  readonly kind = 'unavailable'
}

/** The caller gave up, or a stop was asked for. */
export class CancelledError extends DomainError {
  override readonly name: string = 'CancelledError'
  readonly kind = 'cancelled'
}

export class UnimplementedError extends DomainError {
  override readonly name: string = 'UnimplementedError'
  readonly kind = 'unimplemented'
}

/** Stored bytes are missing, or are not what their name says. */
export class DataLossError extends DomainError {
  override readonly name: string = 'DataLossError'
  readonly kind = 'data-loss'
}

/** An invariant that must hold in correct code; stays on in production. */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${invariant}`)
}

/** For the `default` of an exhaustive switch: does not compile while a case is missing. */
export function unreachable(value: never): never {
  throw new Error(`invariant broken: unexpected ${JSON.stringify(value)}`)
}
