import type { Clock } from '../base/clock.ts'
import type { IncomingMessage } from '../base/grpc-messages.ts'
import type { EncodedMessage } from '../base/grpc-wire.ts'
import type { Address } from '../client/address.ts'
import type { CallOptions, Transport } from '../client/transport.ts'
import { quickUnary } from './quick-unary.ts'

/** A command with more calls than this is served better by one connection of HTTP/2. */
const quickCallsMax = 3

/**
 * Calls a server for a program that wants to start fast: its first unary calls go by gRPC-Web over
 * a plain socket, since loading HTTP/2 takes as long as starting Node. Streams, later calls and
 * servers that do not know gRPC-Web get HTTP/2.
 */
export class QuickTransport implements Transport {
  readonly #address: Address
  readonly #clock: Clock
  #quickCallsLeft = quickCallsMax
  #full: Promise<Transport> | undefined

  constructor(address: Address, clock: Clock) {
    this.#address = address
    this.#clock = clock
  }

  async unary(path: string, request: EncodedMessage, options?: CallOptions): Promise<Uint8Array> {
    if (this.#quickCallsLeft > 0 && this.#full === undefined) {
      this.#quickCallsLeft -= 1
      const response = await quickUnary(this.#address, this.#clock, path, request, options)
      if (response !== undefined) return response
      this.#quickCallsLeft = 0
    }
    return (await this.#open()).unary(path, request, options)
  }

  async *serverStream(
    path: string,
    request: EncodedMessage,
    options?: CallOptions,
  ): AsyncGenerator<IncomingMessage> {
    yield* (await this.#open()).serverStream(path, request, options)
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

  async #open(): Promise<Transport> {
    this.#full ??= import('../node-client/node-transport.ts').then(
      ({ NodeTransport }) => new NodeTransport(this.#address, this.#clock),
    )
    return this.#full
  }
}
