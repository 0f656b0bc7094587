import { prefixBytes, writePrefix, type EncodedMessage } from '../../base/grpc-wire.ts'

/** Larger messages go behind their prefix as they are; smaller ones are copied to it. */
const copiedBytesMax = 16 * 1024

/** A message of `sizeBytes` with its prefix, as the pieces to write. */
export function framed(message: EncodedMessage, sizeBytes: number): readonly Uint8Array[] {
  const parts = message instanceof Uint8Array ? [message] : message
  if (sizeBytes > copiedBytesMax) {
    const prefix = Buffer.allocUnsafe(prefixBytes)
    writePrefix(prefix, 0, sizeBytes)
    return [prefix, ...parts]
  }
  const frame = Buffer.allocUnsafe(prefixBytes + sizeBytes)
  writePrefix(frame, 0, sizeBytes)
  let offset = prefixBytes
  for (const part of parts) {
    frame.set(part, offset)
    offset += part.length
  }
  return [frame]
}
