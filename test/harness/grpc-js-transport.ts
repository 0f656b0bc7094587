import {
  Client,
  credentials,
  Metadata,
  type ClientReadableStream,
  type ServiceError,
} from '@grpc/grpc-js'
import { concatBytes } from '../../src/base/bytes.ts'
import type { ErrorKind } from '../../src/base/errors.ts'
import type { IncomingMessage } from '../../src/base/grpc-messages.ts'
import {
  type EncodedMessage,
  errorKindTrailer,
  messageBytesMax,
  parseCode,
} from '../../src/base/grpc-wire.ts'
import { RpcError } from '../../src/client/rpc-error.ts'
import type { CallOptions, Transport } from '../../src/client/transport.ts'

/** The gRPC library of the gRPC project, as a judge of our server that shares no code with it. */
export class GrpcJsTransport implements Transport {
  readonly #client: Client

  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure(), {
      'grpc.max_receive_message_length': messageBytesMax,
      // Larger than the server takes, so that tests can send it too much.
      'grpc.max_send_message_length': 2 * messageBytesMax,
    })
  }

  async unary(path: string, request: EncodedMessage, options?: CallOptions): Promise<Uint8Array> {
    return await new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        path,
        buffer,
        bytes,
        request,
        metadataOf(options),
        deadlineOf(options),
        settle(resolve, reject),
      )
      options?.signal?.addEventListener('abort', () => call.cancel())
    })
  }

  async *serverStream(
    path: string,
    request: EncodedMessage,
    options?: CallOptions,
  ): AsyncGenerator<IncomingMessage> {
    const call: ClientReadableStream<Uint8Array> = this.#client.makeServerStreamRequest(
      path,
      buffer,
      bytes,
      request,
      metadataOf(options),
      deadlineOf(options),
    )
    options?.signal?.addEventListener('abort', () => call.cancel())
    try {
      for await (const message of call) yield incoming(message as Uint8Array)
    } catch (error) {
      throw rpcError(error)
    } finally {
      call.on('error', () => undefined)
      call.cancel()
    }
  }

  async clientStream(
    path: string,
    requests: AsyncIterable<EncodedMessage>,
    options?: CallOptions,
  ): Promise<Uint8Array> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    const call = this.#client.makeClientStreamRequest(
      path,
      buffer,
      bytes,
      metadataOf(options),
      deadlineOf(options),
      settle(resolve, reject),
    )
    options?.signal?.addEventListener('abort', () => call.cancel())
    const settled = promise.then(
      () => undefined,
      () => undefined,
    )
    const source = requests[Symbol.asyncIterator]()
    for (;;) {
      const next = await Promise.race([source.next(), settled])
      if (next === undefined || next.done === true) break
      const sent = new Promise<void>((done) => {
        call.write(next.value, () => done())
      })
      await Promise.race([sent, settled])
    }
    call.end()
    return await promise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve()
    this.#client.close()
  }
}

function settle(
  resolve: (response: Uint8Array) => void,
  reject: (error: Error) => void,
): (error: ServiceError | null, response?: Uint8Array) => void {
  return (error, response) => {
    if (error !== null) reject(rpcError(error))
    else if (response === undefined) reject(new Error('neither an error nor a response'))
    else resolve(response)
  }
}

function buffer(message: EncodedMessage): Buffer {
  return Buffer.from(message instanceof Uint8Array ? message : concatBytes(message))
}

function bytes(message: Buffer): Uint8Array {
  return message
}

function incoming(message: Uint8Array): IncomingMessage {
  return {
    sizeBytes: message.length,
    bytes: () => Promise.resolve(message),
    parts: () => Promise.resolve([message]),
    async *slices() {
      await Promise.resolve()
      yield message
    },
  }
}

function metadataOf(options: CallOptions | undefined): Metadata {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(options?.metadata ?? {})) metadata.set(name, value)
  return metadata
}

function deadlineOf(options: CallOptions | undefined): { readonly deadline?: number } {
  return options?.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs }
}

function rpcError(error: unknown): Error {
  if (!(error instanceof Error) || !('code' in error) || !('details' in error)) {
    return error instanceof Error ? error : new Error(String(error))
  }
  const { code, details, metadata } = error as ServiceError
  const kind = metadata.get(errorKindTrailer)[0]?.toString() as ErrorKind | undefined
  return new RpcError(parseCode(String(code)), details, {
    cause: error,
    ...(kind !== undefined && { kind }),
  })
}
