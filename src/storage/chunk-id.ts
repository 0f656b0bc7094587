import { hash } from 'node:crypto'
import { assert } from '../base/errors.ts'
import { type ChunkId, chunkBytesMax } from './chunks.ts'

export const chunkIdBytesCount = 32

/** The name of a chunk: SHA-256 of its bytes, which are at most `chunkBytesMax`. */
export function chunkIdOf(bytes: Uint8Array): ChunkId {
  assert(bytes.length <= chunkBytesMax, `a chunk holds at most ${chunkBytesMax} bytes`)
  return hash('sha256', bytes, 'hex') as ChunkId // the one cast: this is what a chunk id is
}

/** The 32 bytes that the hex digits of `id` stand for. */
export function chunkIdBytes(id: ChunkId): Uint8Array {
  return Buffer.from(id, 'hex')
}

/** The inverse of `chunkIdBytes`, of the 32 bytes of `bytes` from `offset`. */
export function chunkIdAt(bytes: Uint8Array, offset: number): ChunkId {
  assert(offset + chunkIdBytesCount <= bytes.length, 'a chunk id is 32 bytes')
  const start = bytes.byteOffset + offset
  return Buffer.from(bytes.buffer, start, chunkIdBytesCount).toString('hex') as ChunkId
}
