import { concatBytes } from '../base/bytes.ts'
import type { AskCaller } from '../base/caller-questions.ts'
import { UnavailableError } from '../base/errors.ts'
import type { IncomingMessage } from '../base/grpc-messages.ts'
import type { Code, EncodedMessage } from '../base/grpc-wire.ts'
import { RpcError } from '../client/rpc-error.ts'
import type { CallOptions, Transport } from '../client/transport.ts'

/** A call that whoever pushes makes of its own server for this one. */
export interface PushedCall {
  /** `/package.Service/Method` */
  readonly path: string
  readonly request: Uint8Array
}

/** A message of the answer, or how the call failed. */
export type PushedPart =
  | { readonly kind: 'message'; readonly bytes: Uint8Array }
  | { readonly kind: 'failure'; readonly code: Code; readonly text: string }

/** Carries calls to a server through whoever pushes from it, since it cannot be reached from here. */
export class AskingTransport implements Transport {
  readonly #ask: AskCaller<PushedCall, PushedPart>

  constructor(ask: AskCaller<PushedCall, PushedPart>) {
    this.#ask = ask
  }

  async unary(path: string, request: EncodedMessage, options?: CallOptions): Promise<Uint8Array> {
    for await (const message of this.serverStream(path, request, options)) {
      return await message.bytes()
    }
    throw new UnavailableError(`${path} was answered with nothing`)
  }

  async *serverStream(
    path: string,
    request: EncodedMessage,
    options: CallOptions = {},
  ): AsyncGenerator<IncomingMessage> {
    const { signal = new AbortController().signal } = options
    for await (const part of this.#ask({ path, request: joined(request) }, signal)) {
      if (part.kind === 'failure') throw new RpcError(part.code, part.text)
      yield arrived(part.bytes)
    }
  }

  async clientStream(path: string): Promise<never> {
    await Promise.resolve()
    throw new UnavailableError(`${path} writes, and whoever pushes is only read`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // It holds nothing of its own.
  }
}

function joined(message: EncodedMessage): Uint8Array {
  return message instanceof Uint8Array ? message : concatBytes(message)
}

function arrived(bytes: Uint8Array): IncomingMessage {
  return {
    sizeBytes: bytes.length,
    bytes: async () => Promise.resolve(bytes),
    parts: async () => Promise.resolve([bytes]),
    async *slices() {
      await Promise.resolve()
      yield bytes
    },
  }
}
