import type { ErrorKind } from '../base/errors.ts'
import { Code } from '../base/grpc-wire.ts'

/** A call that failed, as the server said it or as the transport found out. */
export class RpcError extends Error {
  override readonly name = 'RpcError'
  readonly code: Code
  /** What servers of this project add; undefined from others. */
  readonly kind: ErrorKind | undefined

  constructor(code: Code, message: string, options?: ErrorOptions & { readonly kind?: ErrorKind }) {
    super(message, options)
    this.code = code
    this.kind = options?.kind
  }
}

/** Of a call that the server, which may be of 1.5, does not know. */
export function isUnimplemented(error: unknown): error is RpcError {
  return error instanceof RpcError && error.code === Code.unimplemented
}
