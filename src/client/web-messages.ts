import { MessageReader, type IncomingMessage } from '../base/grpc-messages.ts'
import {
  Code,
  encodedBytes,
  prefixBytes,
  writePrefix,
  type EncodedMessage,
} from '../base/grpc-wire.ts'
import type { SliceSource } from '../base/slice-queue.ts'
import { RpcError } from './rpc-error.ts'
import { failureOf, parseTrailers } from './status.ts'

/** The messages in the body of an answer in gRPC-Web; throws at the end unless the status is OK. */
export async function* readWebMessages(source: SliceSource): AsyncGenerator<IncomingMessage> {
  let failure: RpcError | undefined
  const onTrailers = (bytes: Uint8Array): void => {
    failure = failureOf(parseTrailers(bytes))
  }
  yield* new MessageReader(untilTrailers(source), { onTrailers })
  if (failure !== undefined) throw failure
}

/** Fails at its end, which is not read when there are trailers before it. */
function untilTrailers(source: SliceSource): SliceSource {
  return {
    next: () => {
      const slice = source.next()
      return slice instanceof Promise ? slice.then(requireSlice) : requireSlice(slice)
    },
  }
}

function requireSlice(slice: Uint8Array | undefined): Uint8Array {
  if (slice !== undefined) return slice
  throw new RpcError(
    Code.unavailable,
    'the connection to the server was lost in the middle of its answer',
  )
}

/** The only message of an answer. @throws {RpcError} when the call failed. */
export async function readWebMessage(source: SliceSource): Promise<Uint8Array> {
  let bytes: Uint8Array | undefined
  for await (const message of readWebMessages(source)) bytes = await message.bytes()
  if (bytes === undefined) throw new RpcError(Code.internal, 'the server sent no response')
  return bytes
}

/** A message as it goes over the wire: its prefix and its parts. */
export function framedParts(message: EncodedMessage): readonly Uint8Array[] {
  const prefix = new Uint8Array(prefixBytes)
  writePrefix(prefix, 0, encodedBytes(message))
  return message instanceof Uint8Array ? [prefix, message] : [prefix, ...message]
}
