import type { DescMethod, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import {
  Client,
  credentials,
  Metadata,
  type CallOptions,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  type ServiceError,
} from '@grpc/grpc-js'

type Response<M extends DescMethod> = MessageShape<M['output']>

/** A call of somebody else's client: its outcome, and the means to cancel it. */
export interface UnaryCall<M extends DescMethod> {
  readonly call: ClientUnaryCall
  readonly response: Promise<Response<M>>
}

/** The gRPC library of the gRPC project, to judge our server by. */
export class GrpcJsClient implements Disposable {
  readonly #client: Client

  constructor(port: number, options: ClientOptions = {}) {
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), options)
  }

  [Symbol.dispose](): void {
    this.#client.close()
  }

  unary<M extends DescMethod>(
    method: M,
    request: MessageInitShape<M['input']>,
    metadata: Metadata = new Metadata(),
    options: CallOptions = {},
  ): UnaryCall<M> {
    const { promise, resolve, reject } = Promise.withResolvers<Response<M>>()
    const call = this.#client.makeUnaryRequest<MessageInitShape<M['input']>, Response<M>>(
      path(method),
      (message) => encode(method, message),
      (bytes) => decode(method, bytes),
      request,
      metadata,
      options,
      (error, response) => settle(error, response, resolve, reject),
    )
    return { call, response: promise }
  }

  serverStream<M extends DescMethod>(
    method: M,
    request: MessageInitShape<M['input']>,
  ): ClientReadableStream<Response<M>> {
    return this.#client.makeServerStreamRequest<MessageInitShape<M['input']>, Response<M>>(
      path(method),
      (message) => encode(method, message),
      (bytes) => decode(method, bytes),
      request,
      new Metadata(),
      {},
    )
  }

  clientStream<M extends DescMethod>(
    method: M,
    metadata: Metadata = new Metadata(),
    options: CallOptions = {},
  ): {
    readonly call: ClientWritableStream<MessageInitShape<M['input']>>
    readonly response: Promise<Response<M>>
  } {
    const { promise, resolve, reject } = Promise.withResolvers<Response<M>>()
    const call = this.#client.makeClientStreamRequest<MessageInitShape<M['input']>, Response<M>>(
      path(method),
      (message) => encode(method, message),
      (bytes) => decode(method, bytes),
      metadata,
      options,
      (error, response) => settle(error, response, resolve, reject),
    )
    call.on('error', () => {}) // the callback tells
    return { call, response: promise }
  }
}

function path(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`
}

function encode<M extends DescMethod>(method: M, message: MessageInitShape<M['input']>): Buffer {
  const input: M['input'] = method.input
  return Buffer.from(toBinary(input, create(input, message)))
}

function decode<M extends DescMethod>(method: M, bytes: Buffer): Response<M> {
  const output: M['output'] = method.output
  return fromBinary(output, bytes)
}

function settle<Value>(
  error: ServiceError | null,
  value: Value | undefined,
  resolve: (value: Value) => void,
  reject: (error: Error) => void,
): void {
  if (error !== null) reject(error)
  else if (value === undefined) reject(new Error('neither an error nor a response'))
  else resolve(value)
}
