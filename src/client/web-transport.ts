import type { IncomingMessage } from '../base/grpc-messages.ts'
import {
  Code,
  formatTimeout,
  isWebContentType,
  webContentType,
  type EncodedMessage,
} from '../base/grpc-wire.ts'
import type { SliceSource } from '../base/slice-queue.ts'
import { RpcError } from './rpc-error.ts'
import type { CallOptions, Transport } from './transport.ts'
import { framedParts, readWebMessage, readWebMessages } from './web-messages.ts'

/** Calls a server from a browser, by gRPC-Web. */
export class WebTransport implements Transport {
  readonly #origin: string

  /** `origin` is that of the server, such as `http://localhost:30650`. */
  constructor(origin: string) {
    this.#origin = origin.replace(/\/$/, '')
  }

  async unary(path: string, request: EncodedMessage, options?: CallOptions): Promise<Uint8Array> {
    return readWebMessage(await this.#post(path, framedParts(request), options))
  }

  async *serverStream(
    path: string,
    request: EncodedMessage,
    options: CallOptions = {},
  ): AsyncGenerator<IncomingMessage> {
    // Aborting is how `fetch` is told that nobody reads on.
    const reading = new AbortController()
    const signals = options.signal === undefined ? [] : [options.signal]
    const signal = AbortSignal.any([reading.signal, ...signals])
    try {
      yield* readWebMessages(await this.#post(path, framedParts(request), { ...options, signal }))
    } finally {
      reading.abort()
    }
  }

  /** Holds all requests before it sends the first: browsers cannot stream over HTTP/1.1. */
  async clientStream(
    path: string,
    requests: AsyncIterable<EncodedMessage>,
    options?: CallOptions,
  ): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    for await (const request of requests) parts.push(...framedParts(request))
    return readWebMessage(await this.#post(path, parts, options))
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #post(
    path: string,
    parts: readonly Uint8Array[],
    { signal, timeoutMs, metadata }: CallOptions = {},
  ): Promise<SliceSource> {
    const headers = new Headers({ ...metadata, 'content-type': webContentType })
    if (timeoutMs !== undefined) headers.set('grpc-timeout', formatTimeout(timeoutMs))
    const body = new Blob(parts as Uint8Array<ArrayBuffer>[])
    const response = await fetch(`${this.#origin}${path}`, {
      method: 'POST',
      headers,
      body,
      signal: signal ?? null,
    }).catch((error: unknown) => {
      throw lost(error, signal)
    })
    if (!isWebContentType(response.headers.get('content-type') ?? '') || response.body === null) {
      throw new RpcError(
        Code.unavailable,
        `the server answered with HTTP status ${response.status}; it is no pachd, or something stands before it`,
      )
    }
    const reader = response.body.getReader()
    return {
      next: async () => {
        const { value } = await reader.read().catch((error: unknown) => {
          throw lost(error, signal)
        })
        return value
      },
    }
  }
}

function lost(cause: unknown, signal: AbortSignal | undefined): RpcError {
  if (signal?.aborted === true) return new RpcError(Code.cancelled, 'context canceled', { cause })
  return new RpcError(Code.unavailable, 'the server cannot be reached', { cause })
}
