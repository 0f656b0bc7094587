import type { Clock } from '../../base/clock.ts'
import type { IncomingMessage } from '../../base/grpc-messages.ts'
import { Code, type EncodedMessage } from '../../base/grpc-wire.ts'
import { RpcError } from '../../client/rpc-error.ts'
import type { CallOptions, Transport } from '../../client/transport.ts'

/** Calls that are on their way over a connection that was given up may still end well. */
const retiredMsMax = 120_000

/**
 * Calls over one connection until a call there gets no answer; the next calls go over another. A
 * machine that slept, or a network that forgot, leaves connections that look alive for many minutes.
 */
export class FreshTransport implements Transport {
  readonly #open: () => Transport
  readonly #clock: Clock
  readonly #closing = new AbortController()
  readonly #retired = new Set<Promise<void>>()
  #current: Transport

  constructor(open: () => Transport, clock: Clock) {
    this.#open = open
    this.#clock = clock
    this.#current = open()
  }

  async unary(path: string, request: EncodedMessage, options?: CallOptions): Promise<Uint8Array> {
    const transport = this.#current
    try {
      return await transport.unary(path, request, options)
    } catch (error) {
      if (error instanceof RpcError && error.code === Code.deadlineExceeded) this.#retire(transport)
      throw error
    }
  }

  serverStream(
    path: string,
    request: EncodedMessage,
    options?: CallOptions,
  ): AsyncIterable<IncomingMessage> {
    return this.#current.serverStream(path, request, options)
  }

  async clientStream(
    path: string,
    requests: AsyncIterable<EncodedMessage>,
    options?: CallOptions,
  ): Promise<Uint8Array> {
    return this.#current.clientStream(path, requests, options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    await this.#current[Symbol.asyncDispose]()
    await Promise.all(this.#retired)
  }

  #retire(transport: Transport): void {
    if (transport !== this.#current) return
    this.#current = this.#open()
    const closed = this.#clock
      .sleep(retiredMsMax, this.#closing.signal)
      .catch(() => undefined)
      .then(async () => transport[Symbol.asyncDispose]())
      .finally(() => this.#retired.delete(closed))
    this.#retired.add(closed)
  }
}
