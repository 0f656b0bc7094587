import type { ByteStream } from '../../base/bytes.ts'
import { encodeBytesValue } from '../../base/content-messages.ts'
import type { EncodedMessage } from '../../base/grpc-wire.ts'

/** The most that one message of a byte stream carries: what clients of 1.5 expect. */
const pieceBytesMax = 2 * 1024 * 1024

/** Bytes as google.protobuf.BytesValue messages, uncopied; none for no bytes. */
export async function* bytePieces(bytes: ByteStream): AsyncGenerator<EncodedMessage> {
  for await (const piece of bytes) {
    // Of one size, so that none of a large piece is so small that it waits for the next.
    const count = Math.ceil(piece.length / pieceBytesMax)
    const bytesEach = Math.ceil(piece.length / count)
    for (let start = 0; start < piece.length; start += bytesEach) {
      yield encodeBytesValue([piece.subarray(start, start + bytesEach)])
    }
  }
}
