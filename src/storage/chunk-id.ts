import { createHash, hash } from 'node:crypto'
import { assert } from '../base/errors.ts'
import { type ChunkId, chunkBytesMax } from './chunks.ts'

const chunkIdPattern = /^[0-9a-f]{64}$/

/** Above this, `createHash` is faster than the one-shot `hash`. */
const oneShotBytesMax = 512 * 1024

export function isChunkId(text: string): text is ChunkId {
  return chunkIdPattern.test(text)
}

/** The name of a chunk: SHA-256 of its bytes, which are at most `chunkBytesMax`. */
export function chunkIdOf(bytes: Uint8Array): ChunkId {
  assert(bytes.length <= chunkBytesMax, `a chunk holds at most ${chunkBytesMax} bytes`)
  const id =
    bytes.length <= oneShotBytesMax
      ? hash('sha256', bytes, 'hex')
      : createHash('sha256').update(bytes).digest('hex')
  return id as ChunkId // the one cast: SHA-256 in hex is what a chunk id is
}

/** The 32 bytes that the hex digits of `id` stand for. */
export function chunkIdBytes(id: ChunkId): Uint8Array {
  return Buffer.from(id, 'hex')
}

/** The inverse of `chunkIdBytes`. */
export function chunkIdOfBytes(bytes: Uint8Array): ChunkId {
  assert(bytes.length === 32, 'a chunk id is 32 bytes')
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex') as ChunkId
}
