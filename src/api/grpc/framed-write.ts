import type { Writable } from 'node:stream'
import { prefixBytes, writePrefix, type EncodedMessage } from '../../base/grpc-wire.ts'

/** Larger messages are written behind their prefix as they are; smaller ones are copied to it. */
const copiedBytesMax = 16 * 1024

/** Writes a message of `sizeBytes` with its prefix. */
export function writeFramed(target: Writable, message: EncodedMessage, sizeBytes: number): void {
  const parts = message instanceof Uint8Array ? [message] : message
  if (sizeBytes <= copiedBytesMax) {
    const frame = Buffer.allocUnsafe(prefixBytes + sizeBytes)
    writePrefix(frame, 0, sizeBytes)
    let offset = prefixBytes
    for (const part of parts) {
      frame.set(part, offset)
      offset += part.length
    }
    target.write(frame)
    return
  }
  const prefix = Buffer.allocUnsafe(prefixBytes)
  writePrefix(prefix, 0, sizeBytes)
  target.cork()
  target.write(prefix)
  for (const part of parts) target.write(part)
  target.uncork()
}
