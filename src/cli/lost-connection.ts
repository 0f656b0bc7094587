import { Code } from '../base/grpc-wire.ts'
import { RpcError } from '../client/rpc-error.ts'

/** Adds `advice` to `error` when the server has ended, or cannot be heard any more; its own words stay as they are. */
export function lostWith(error: unknown, advice: string): unknown {
  const isLost =
    error instanceof RpcError && error.code === Code.unavailable && error.kind === undefined
  return isLost ? new RpcError(error.code, `${error.message}; ${advice}`, { cause: error }) : error
}
