import { UnavailableError } from '../../base/errors.ts'
import { Code } from '../../base/grpc-wire.ts'
import { RpcError } from '../../client/rpc-error.ts'

/** Whether a call failed because the server ends, or is not there. */
export function isGone(error: unknown): boolean {
  if (error instanceof UnavailableError) return true
  return (
    error instanceof RpcError && (error.code === Code.unavailable || error.code === Code.cancelled)
  )
}

/** The server did not come back. */
export class RestartError extends UnavailableError {
  constructor(cause: unknown) {
    super(
      'the server has taken what was restored, and did not start once more in time: look at its log, and start it',
      { cause },
    )
  }
}
