import { InvalidArgumentError } from '../../base/errors.ts'
import type { PutRestoredRequest } from '../../gen/pachyderm_pb.ts'
import { packBytesMax } from '../../storage/pack-bytes.ts'

/** Each object as a whole. @throws {InvalidArgumentError} when its bytes are not as many as was said. */
export async function* objectsOf(
  requests: AsyncIterable<PutRestoredRequest>,
): AsyncGenerator<{ readonly key: string; readonly bytes: Uint8Array }> {
  let key = ''
  let bytes = Buffer.alloc(0)
  let filled = 0
  for await (const { part } of requests) {
    if (part.case === 'object') {
      if (filled < bytes.length) throw new InvalidArgumentError(`${key} was not sent to its end`)
      const size = Number(part.value.sizeBytes)
      if (!(size >= 1 && size <= packBytesMax)) {
        throw new InvalidArgumentError(
          `an object of a backup has at most ${packBytesMax} bytes, not ${size}`,
        )
      }
      ;({ key } = part.value)
      bytes = Buffer.allocUnsafeSlow(size)
      filled = 0
    } else if (part.case === 'data') {
      if (filled + part.value.length > bytes.length) {
        throw new InvalidArgumentError(`${key || 'an object'} has more bytes than was said`)
      }
      bytes.set(part.value, filled)
      filled += part.value.length
      if (filled === bytes.length) yield { key, bytes }
    }
  }
  if (filled < bytes.length) throw new InvalidArgumentError(`${key} was not sent to its end`)
}
