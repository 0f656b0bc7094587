import type { IncomingMessage } from '../base/grpc-messages.ts'
import type { EncodedMessage } from '../base/grpc-wire.ts'

export interface CallOptions {
  readonly signal?: AbortSignal
  /** The server and the client give up after this long. */
  readonly timeoutMs?: number
  /** By lower-case name. */
  readonly metadata?: Readonly<Record<string, string>>
}

/**
 * Carries calls to a server, in terms of bytes. `path` is `/package.Service/Method`.
 *
 * @throws {RpcError} from each, with the server's status or with `unavailable`.
 */
export interface Transport extends AsyncDisposable {
  unary(path: string, request: EncodedMessage, options?: CallOptions): Promise<Uint8Array>
  /** The answer's messages, each to be read before the next. Leaving the loop cancels the call. */
  serverStream(
    path: string,
    request: EncodedMessage,
    options?: CallOptions,
  ): AsyncIterable<IncomingMessage>
  /** Pulls `requests` as fast as the server takes them; stops when the server has answered. */
  clientStream(
    path: string,
    requests: AsyncIterable<EncodedMessage>,
    options?: CallOptions,
  ): Promise<Uint8Array>
}
