import type { Clock } from '../base/clock.ts'
import type { IncomingMessage } from '../base/grpc-messages.ts'
import type { EncodedMessage } from '../base/grpc-wire.ts'
import type { CallOptions, Transport } from '../client/transport.ts'

/** A transport whose code is loaded with its first call, for commands that may need none. */
export class LazyTransport implements Transport {
  readonly #address: string
  readonly #clock: Clock
  #loading: Promise<Transport> | undefined

  /** `address` is as a person wrote it; calls fail when it is none. */
  constructor(address: string, clock: Clock) {
    this.#address = address
    this.#clock = clock
  }

  async unary(path: string, request: EncodedMessage, options?: CallOptions): Promise<Uint8Array> {
    return (await this.#transport()).unary(path, request, options)
  }

  async *serverStream(
    path: string,
    request: EncodedMessage,
    options?: CallOptions,
  ): AsyncGenerator<IncomingMessage> {
    yield* (await this.#transport()).serverStream(path, request, options)
  }

  async clientStream(
    path: string,
    requests: AsyncIterable<EncodedMessage>,
    options?: CallOptions,
  ): Promise<Uint8Array> {
    return (await this.#transport()).clientStream(path, requests, options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const transport = await this.#loading?.catch(() => undefined)
    await transport?.[Symbol.asyncDispose]()
  }

  async #transport(): Promise<Transport> {
    this.#loading ??= load(this.#address, this.#clock)
    return this.#loading
  }
}

async function load(address: string, clock: Clock): Promise<Transport> {
  const [{ QuickTransport }, { parseAddress }] = await Promise.all([
    import('./quick-transport.ts'),
    import('../client/address.ts'),
  ])
  return new QuickTransport(parseAddress(address), clock)
}
