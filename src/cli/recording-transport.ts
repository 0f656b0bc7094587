import type { IncomingMessage } from '../base/grpc-messages.ts'
import type { EncodedMessage } from '../base/grpc-wire.ts'
import type { CallOptions, Transport } from '../client/transport.ts'

/** Makes the unary calls of a command part of a transaction. Owns nothing. */
export class RecordingTransport implements Transport {
  readonly #transport: Transport
  readonly #metadata: Readonly<Record<string, string>>

  constructor(transport: Transport, transaction: string) {
    this.#transport = transport
    this.#metadata = { 'pach-transaction': transaction }
  }

  async unary(path: string, request: EncodedMessage, options?: CallOptions): Promise<Uint8Array> {
    const metadata = { ...options?.metadata, ...this.#metadata }
    return this.#transport.unary(path, request, { ...options, metadata })
  }

  serverStream(
    path: string,
    request: EncodedMessage,
    options?: CallOptions,
  ): AsyncIterable<IncomingMessage> {
    return this.#transport.serverStream(path, request, options)
  }

  async clientStream(
    path: string,
    requests: AsyncIterable<EncodedMessage>,
    options?: CallOptions,
  ): Promise<Uint8Array> {
    return this.#transport.clientStream(path, requests, options)
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** For a command that is no part of the transaction that is active. */
export function besideNotice(command: string, transaction: string): string {
  return `transaction ${transaction} is active, but ${command} is no part of it: it takes effect at once`
}
