import type { Clock } from '../base/clock.ts'
import type { IncomingMessage } from '../base/grpc-messages.ts'
import type { EncodedMessage } from '../base/grpc-wire.ts'
import type { Address } from '../client/address.ts'
import type { CallOptions, Transport } from '../client/transport.ts'
import { quickStream, quickUnary, type QuickServer } from './quick-web-call.ts'

/** A command with more calls than this is served better by one connection of HTTP/2. */
const quickCallsMax = 3

/**
 * Calls a server for a program that wants to start fast and to get much: its first calls go by
 * gRPC-Web over plain sockets. Loading HTTP/2 takes as long as starting Node, and its frames of
 * 16 KiB cost more than the bytes in them. Streams of requests, later calls and servers that do not
 * know gRPC-Web get HTTP/2.
 */
export class QuickTransport implements Transport {
  readonly #server: QuickServer
  #quickCallsLeft = quickCallsMax
  #full: Promise<Transport> | undefined

  constructor(address: Address, clock: Clock) {
    this.#server = { address, clock }
  }

  async unary(path: string, request: EncodedMessage, options?: CallOptions): Promise<Uint8Array> {
    const response = await this.#quickly(() => quickUnary(this.#server, path, request, options))
    return response ?? (await this.#open()).unary(path, request, options)
  }

  async *serverStream(
    path: string,
    request: EncodedMessage,
    options?: CallOptions,
  ): AsyncGenerator<IncomingMessage> {
    const responses = await this.#quickly(() => quickStream(this.#server, path, request, options))
    yield* responses ?? (await this.#open()).serverStream(path, request, options)
  }

  async clientStream(
    path: string,
    requests: AsyncIterable<EncodedMessage>,
    options?: CallOptions,
  ): Promise<Uint8Array> {
    return (await this.#open()).clientStream(path, requests, options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const full = await this.#full
    await full?.[Symbol.asyncDispose]()
  }

  /** Undefined when the call has to be made over HTTP/2. */
  async #quickly<Answer>(call: () => Promise<Answer | undefined>): Promise<Answer | undefined> {
    if (this.#quickCallsLeft === 0 || this.#full !== undefined) return undefined
    this.#quickCallsLeft -= 1
    const answer = await call()
    if (answer === undefined) this.#quickCallsLeft = 0
    return answer
  }

  async #open(): Promise<Transport> {
    this.#full ??= import('../node-client/node-transport.ts').then(
      ({ NodeTransport }) => new NodeTransport(this.#server.address, this.#server.clock),
    )
    return this.#full
  }
}
