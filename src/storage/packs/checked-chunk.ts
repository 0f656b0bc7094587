import { DataLossError } from '../../base/errors.ts'
import { chunkIdOf } from '../chunk-id.ts'
import type { ChunkId } from '../chunks.ts'
import { decodeChunk } from './compression.ts'
import type { PackEntry } from './format.ts'

/** Handing a chunk to another thread costs about as much as hashing so many bytes. */
const hashAsideBytesMin = 128 * 1024

/** The chunk's bytes from those stored. @throws {DataLossError} when they are not what `id` says. */
export async function checkedChunk(
  id: ChunkId,
  stored: Uint8Array,
  entry: PackEntry,
  where: string,
): Promise<Uint8Array> {
  const what = `chunk ${id} at offset ${entry.offset} of ${where}`
  let bytes: Uint8Array
  try {
    bytes = decodeChunk(stored, entry.encoding, entry.rawBytes)
  } catch (error) {
    throw new DataLossError(`${what} is damaged`, { cause: error })
  }
  if (bytes.length !== entry.rawBytes || (await hashOf(bytes)) !== id) {
    throw new DataLossError(`${what} is damaged: its bytes are not those that were stored`)
  }
  return bytes
}

/** The chunk's id; of a large one, computed off the main thread. */
async function hashOf(bytes: Uint8Array): Promise<string> {
  if (bytes.length < hashAsideBytesMin || !(bytes.buffer instanceof ArrayBuffer)) {
    return chunkIdOf(bytes)
  }
  const view = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
  return Buffer.from(await crypto.subtle.digest('SHA-256', view)).toString('hex')
}
