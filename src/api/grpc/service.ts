import type {
  DescMessage,
  DescMethod,
  DescService,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf'
import { create, fromBinary, isMessage, toBinary } from '@bufbuild/protobuf'
import {
  DomainError,
  InvalidArgumentError,
  ResourceExhaustedError,
  UnimplementedError,
} from '../../base/errors.ts'
import { MalformedMessageError, type IncomingMessage } from '../../base/grpc-messages.ts'
import { type EncodedMessage, messageBytesMax } from '../../base/grpc-wire.ts'
import { WireFormatError } from '../../base/wire-reader.ts'
import { requestLimits } from '../request-limits.ts'
import type { ErrorStyle } from './errors.ts'
import type { Metadata } from './metadata.ts'

/** What a handler knows about its call besides the request. */
export interface CallContext {
  /** Aborts when the caller cancelled or went away, when its time is over, or at shutdown. */
  readonly signal: AbortSignal
  readonly metadata: Metadata
  /** Address and port of the caller. */
  readonly peer: string
}

type Request<M extends DescMethod> = MessageShape<M['input']>
type Response<M extends DescMethod> = MessageInitShape<M['output']>

/** Answers with bytes that are the response message, or several, already encoded. */
export interface EncodedUnary<M extends DescMethod> {
  readonly encoded: (request: Request<M>, context: CallContext) => Promise<EncodedMessage>
}
export interface EncodedStream<M extends DescMethod> {
  readonly encoded: (request: Request<M>, context: CallContext) => AsyncIterable<EncodedMessage>
}
/** Takes the request messages as they arrive, without anyone holding them whole. */
export interface SlicedRequests<M extends DescMethod> {
  readonly sliced: (
    requests: AsyncIterable<IncomingMessage>,
    context: CallContext,
  ) => Promise<Response<M>>
}

/** The ways to implement a method: messages in and out, or bytes where there are many. */
export type MethodHandler<M extends DescMethod> = M['methodKind'] extends 'unary'
  ? ((request: Request<M>, context: CallContext) => Promise<Response<M>>) | EncodedUnary<M>
  : M['methodKind'] extends 'server_streaming'
    ? ((request: Request<M>, context: CallContext) => AsyncIterable<Response<M>>) | EncodedStream<M>
    : M['methodKind'] extends 'client_streaming'
      ? | ((requests: AsyncIterable<Request<M>>, context: CallContext) => Promise<Response<M>>)
        | SlicedRequests<M>
      : (requests: AsyncIterable<Request<M>>, context: CallContext) => AsyncIterable<Response<M>>

/** An implementation of some or all methods of a service. */
export type ServiceHandlers<S extends DescService> = {
  readonly [K in keyof S['method']]?: MethodHandler<S['method'][K]>
}

/** A method in terms of bytes: how the server calls it. */
export interface Route {
  readonly path: string
  readonly style: ErrorStyle
  readonly respond:
    | {
        readonly requests: 'one'
        readonly responses: 'one'
        call(request: Uint8Array, context: CallContext): Promise<EncodedMessage>
      }
    | {
        readonly requests: 'one'
        readonly responses: 'many'
        call(request: Uint8Array, context: CallContext): AsyncIterable<EncodedMessage>
      }
    | {
        readonly requests: 'many'
        readonly responses: 'one'
        call(
          requests: AsyncIterable<IncomingMessage>,
          context: CallContext,
        ): Promise<EncodedMessage>
      }
    | {
        readonly requests: 'many'
        readonly responses: 'many'
        call(
          requests: AsyncIterable<IncomingMessage>,
          context: CallContext,
        ): AsyncIterable<EncodedMessage>
      }
}

const classicPackages: ReadonlySet<string> = new Set(['pfs', 'pps', 'auth', 'health', 'versionpb'])

/** How the failures of a service are told. */
export function styleOf(description: DescService): ErrorStyle {
  return classicPackages.has(description.file.proto.package) ? 'classic' : 'rich'
}

/**
 * The routes of a service. Methods without a handler answer UNIMPLEMENTED.
 *
 * The services of 1.5 answer failures as 1.5 did, all others with the codes of gRPC.
 */
export function service<S extends DescService>(
  description: S,
  handlers: ServiceHandlers<S>,
): readonly Route[] {
  const byName = new Map<string, unknown>(Object.entries(handlers))
  return description.methods.map((method) => ({
    path: `/${description.typeName}/${method.name}`,
    style: styleOf(description),
    respond: respondWith(method, byName.get(method.localName)),
  }))
}

// What `ServiceHandlers` proved for each method, for methods known at run time only.
type AnyMessage = MessageShape<DescMethod['output']>
type AnyHandler<Input, Output> =
  | ((input: Input, context: CallContext) => Output)
  | { readonly encoded: (input: Input, context: CallContext) => Output }
  | { readonly sliced: (input: AsyncIterable<IncomingMessage>, context: CallContext) => Output }

function respondWith(method: DescMethod, handler: unknown): Route['respond'] {
  if (handler === undefined) return unimplemented(method)
  switch (method.methodKind) {
    case 'unary':
      return unary(method, handler as AnyHandler<AnyMessage, Promise<unknown>>)
    case 'server_streaming':
      return serverStreaming(method, handler as AnyHandler<AnyMessage, AsyncIterable<unknown>>)
    case 'client_streaming':
      return clientStreaming(
        method,
        handler as AnyHandler<AsyncIterable<AnyMessage>, Promise<unknown>>,
      )
    case 'bidi_streaming':
      return bidiStreaming(
        method,
        handler as (
          requests: AsyncIterable<AnyMessage>,
          context: CallContext,
        ) => AsyncIterable<unknown>,
      )
  }
}

function unimplemented(method: DescMethod): Route['respond'] {
  const path = `/${method.parent.typeName}/${method.name}`
  return {
    requests: 'many',
    responses: 'one',
    async call() {
      throw new UnimplementedError(`${path} is not implemented yet by this server`)
    },
  }
}

function unary(
  method: DescMethod,
  handler: AnyHandler<AnyMessage, Promise<unknown>>,
): Route['respond'] {
  const decode = requestDecoder(method.input)
  if (typeof handler === 'function') {
    return {
      requests: 'one',
      responses: 'one',
      call: async (bytes, context) => encodeWhole(method, await handler(decode(bytes), context)),
    }
  }
  if (!('encoded' in handler)) throw new TypeError(`${method.name} takes no stream`)
  const { encoded } = handler
  return {
    requests: 'one',
    responses: 'one',
    call: async (bytes, context) => encoded(decode(bytes), context) as Promise<Uint8Array>,
  }
}

function serverStreaming(
  method: DescMethod,
  handler: AnyHandler<AnyMessage, AsyncIterable<unknown>>,
): Route['respond'] {
  const decode = requestDecoder(method.input)
  if (typeof handler === 'function') {
    return {
      requests: 'one',
      responses: 'many',
      call: (bytes, context) => encodeEach(method, handler(decode(bytes), context)),
    }
  }
  if (!('encoded' in handler)) throw new TypeError(`${method.name} takes no stream`)
  const { encoded } = handler
  return {
    requests: 'one',
    responses: 'many',
    call: (bytes, context) => encoded(decode(bytes), context) as AsyncIterable<EncodedMessage>,
  }
}

function clientStreaming(
  method: DescMethod,
  handler: AnyHandler<AsyncIterable<AnyMessage>, Promise<unknown>>,
): Route['respond'] {
  if (typeof handler === 'function') {
    const decode = requestDecoder(method.input)
    return {
      requests: 'many',
      responses: 'one',
      call: async (messages, context) =>
        encode(method, await handler(decodeEach(decode, messages), context)),
    }
  }
  if (!('sliced' in handler)) throw new TypeError(`${method.name} takes a stream`)
  const { sliced } = handler
  return {
    requests: 'many',
    responses: 'one',
    call: async (messages, context) => encode(method, await sliced(messages, context)),
  }
}

function bidiStreaming(
  method: DescMethod,
  handler: (requests: AsyncIterable<AnyMessage>, context: CallContext) => AsyncIterable<unknown>,
): Route['respond'] {
  const decode = requestDecoder(method.input)
  return {
    requests: 'many',
    responses: 'many',
    call: (messages, context) => encodeEach(method, handler(decodeEach(decode, messages), context)),
  }
}

type Decode = (bytes: Uint8Array) => AnyMessage

const decodeOptions = { readUnknownFields: false }

/** Decodes requests that hold no more than they may. */
export function requestDecoder<D extends DescMessage>(
  input: D,
): (bytes: Uint8Array) => MessageShape<D> {
  const check = requestLimits.checkOf(input)
  return (bytes) => {
    try {
      check(bytes)
      return fromBinary(input, bytes, decodeOptions)
    } catch (error) {
      if (error instanceof DomainError && !(error instanceof WireFormatError)) throw error
      if (isEncodingError(error)) {
        throw new InvalidArgumentError(
          `a text in the ${input.typeName} is not UTF-8, as all names and paths must be`,
          { cause: error },
        )
      }
      throw new MalformedMessageError(`the request is not a valid ${input.typeName}`, {
        cause: error,
      })
    }
  }
}

/** What a strict `TextDecoder` throws. */
function isEncodingError(error: unknown): boolean {
  return (
    error instanceof TypeError &&
    'code' in error &&
    error.code === 'ERR_ENCODING_INVALID_ENCODED_DATA'
  )
}

function encode(method: DescMethod, response: unknown): Uint8Array {
  const init = response as MessageInitShape<DescMethod['output']>
  const message = isMessage(init, method.output) ? init : create(method.output, init)
  return toBinary(method.output, message)
}

/** The only message of an answer. @throws {ResourceExhaustedError} when it is larger than one may be. */
function encodeWhole(method: DescMethod, response: unknown): Uint8Array {
  const bytes = encode(method, response)
  if (bytes.length <= messageBytesMax) return bytes
  throw new ResourceExhaustedError(
    `the answer has ${bytes.length} bytes, and one message may have ${messageBytesMax}: ask for less of it, or call a service of pachyderm that streams it`,
  )
}

async function* decodeEach(
  decode: Decode,
  messages: AsyncIterable<IncomingMessage>,
): AsyncGenerator<AnyMessage> {
  for await (const message of messages) yield decode(await message.bytes())
}

async function* encodeEach(
  method: DescMethod,
  responses: AsyncIterable<unknown>,
): AsyncGenerator<Uint8Array> {
  for await (const response of responses) yield encode(method, response)
}
