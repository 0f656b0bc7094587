import type { DescMethod, DescService, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { CallOptions, Transport } from './transport.ts'

type Response<M extends DescMethod> = MessageShape<M['output']>
type Request<M extends DescMethod> = MessageInitShape<M['input']>

/** A method as a function. */
export type ClientMethod<M extends DescMethod> = M['methodKind'] extends 'unary'
  ? (request: Request<M>, options?: CallOptions) => Promise<Response<M>>
  : M['methodKind'] extends 'server_streaming'
    ? (request: Request<M>, options?: CallOptions) => AsyncIterable<Response<M>>
    : M['methodKind'] extends 'client_streaming'
      ? (requests: AsyncIterable<Request<M>>, options?: CallOptions) => Promise<Response<M>>
      : never

/** A service's methods as functions. They throw `RpcError`. */
export type Client<S extends DescService> = {
  readonly [K in keyof S['method']]: ClientMethod<S['method'][K]>
}

/** For calls that carry many bytes, the `Transport` itself is the better way: it copies less. */
export function createClient<S extends DescService>(service: S, transport: Transport): Client<S> {
  const methods = service.methods.map((method) => [method.localName, call(method, transport)])
  return Object.fromEntries(methods) as Client<S>
}

/** The path of a method, as a `Transport` wants it. */
export function methodPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`
}

function call(method: DescMethod, transport: Transport): unknown {
  const path = methodPath(method)
  const encode = (request: Request<DescMethod>): Uint8Array =>
    toBinary(method.input, create(method.input, request))
  const decode = (bytes: Uint8Array): Response<DescMethod> => fromBinary(method.output, bytes)
  switch (method.methodKind) {
    case 'unary':
      return async (request: Request<DescMethod>, options?: CallOptions) =>
        decode(await transport.unary(path, encode(request), options))
    case 'server_streaming':
      return async function* (request: Request<DescMethod>, options?: CallOptions) {
        for await (const message of transport.serverStream(path, encode(request), options)) {
          yield decode(await message.bytes())
        }
      }
    case 'client_streaming':
      return async (requests: AsyncIterable<Request<DescMethod>>, options?: CallOptions) =>
        decode(await transport.clientStream(path, encodeEach(requests, encode), options))
    case 'bidi_streaming':
      return () => {
        throw new TypeError(`${path} streams both ways, which this client cannot`)
      }
  }
}

async function* encodeEach(
  requests: AsyncIterable<Request<DescMethod>>,
  encode: (request: Request<DescMethod>) => Uint8Array,
): AsyncGenerator<Uint8Array> {
  for await (const request of requests) yield encode(request)
}
