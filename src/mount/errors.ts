import { constants } from 'node:os'
import { DomainError, FailedPreconditionError, UnimplementedError } from '../base/errors.ts'
import { Code } from '../base/grpc-wire.ts'
import { RpcError } from '../client/rpc-error.ts'

/** What a program that uses the mount is told, by the name of its errno. */
export type ErrnoName = keyof typeof constants.errno

/** An operation on the mount that is refused; nothing has changed. */
export class OperationError extends Error {
  override readonly name = 'OperationError'
  readonly errno: ErrnoName

  constructor(errno: ErrnoName, message: string, options?: ErrorOptions) {
    super(message, options)
    this.errno = errno
  }
}

/** A file system cannot be mounted or unmounted here as things are. */
export class MountError extends FailedPreconditionError {
  override readonly name = 'MountError'
}

/** This system has no FUSE that this program can speak to. */
export class NoFuseError extends UnimplementedError {
  override readonly name = 'NoFuseError'
}

/** The number of an errno of this system, as the kernel wants it. */
export function errnoNumber(name: ErrnoName): number {
  return constants.errno[name]
}

/** The errno of whatever was thrown while an operation was done. */
export function errnoOf(error: unknown): ErrnoName {
  if (error instanceof OperationError) return error.errno
  if (error instanceof RpcError)
    return error.kind === undefined ? ofCode(error) : ofKind(error.kind)
  if (error instanceof DomainError) return ofKind(error.kind)
  return 'EIO'
}

function ofKind(kind: DomainError['kind']): ErrnoName {
  switch (kind) {
    case 'not-found':
      return 'ENOENT'
    case 'already-exists':
      return 'EEXIST'
    case 'failed-precondition':
      return 'EROFS'
    case 'invalid-argument':
      return 'EINVAL'
    case 'permission-denied':
      return 'EACCES'
    case 'resource-exhausted':
      return 'ENOSPC'
    case 'conflict':
      return 'EBUSY'
    case 'unimplemented':
      return 'EOPNOTSUPP'
    case 'unavailable':
    case 'cancelled':
    case 'data-loss':
      return 'EIO'
  }
}

/** Servers of 1.5 answer with text. */
function ofCode({ code, message }: RpcError): ErrnoName {
  if (code === Code.deadlineExceeded) return 'ETIMEDOUT'
  if (code === Code.notFound) return 'ENOENT'
  if (code === Code.unimplemented) return 'EOPNOTSUPP'
  if (code === Code.resourceExhausted) return 'ENOSPC'
  if (code !== Code.unknown) return 'EIO'
  if (/not found|no file/i.test(message)) return 'ENOENT'
  if (/already finished/i.test(message)) return 'EROFS'
  return 'EIO'
}

/** Whatever was thrown, to be thrown again where somebody waits for it. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
