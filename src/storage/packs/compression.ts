import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { assert, DataLossError } from '../../base/errors.ts'
import type { Encoding } from './format.ts'

export interface EncodedChunk {
  readonly stored: Uint8Array
  readonly encoding: Encoding
}

/** Below this, starting the compressor costs more than the bytes that it saves. */
export const compressBytesMin = 4096
/** A larger chunk is judged by so many bytes from its middle. */
const probeBytes = 32 * 1024
/** Stored compressed only when at most this part is left, since reading it then costs more. */
const keepRatioMax = 0.9

/** A smaller buffer may share its memory with others. */
const unsharedBytesMin = Buffer.poolSize / 2

const options = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }

/** `bytes` as they are to be stored: compressed when it pays, else the same view. */
export function encodeChunk(bytes: Uint8Array): EncodedChunk {
  const stored = compressedChunk(bytes)
  return stored === undefined ? { stored: bytes, encoding: 'raw' } : { stored, encoding: 'zstd' }
}

/** In memory of its own; undefined when it does not pay. */
export function compressedChunk(bytes: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  if (bytes.length < compressBytesMin) return undefined
  if (bytes.length >= 4 * probeBytes) {
    const start = (bytes.length - probeBytes) >>> 1
    const probe = compress(bytes.subarray(start, start + probeBytes))
    if (probe === undefined) return undefined
  }
  return compress(bytes)
}

function compress(bytes: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  // Room for all that zstd can make of it, so that it comes in one buffer.
  const chunkSize = Math.max(bytes.length + (bytes.length >>> 8) + 128, unsharedBytesMin)
  const output = zstdCompressSync(bytes, { ...options, chunkSize })
  assert(output.buffer.byteLength === chunkSize, 'the output is alone in its memory')
  const pays = output.length <= bytes.length * keepRatioMax
  // Frees the rest now: V8 looks for garbage when there are 64 MiB of it, in each thread.
  const stored = new Uint8Array(output.buffer.transfer(pays ? output.length : 0))
  return pays ? stored : undefined
}

/**
 * The inverse of `encodeChunk`, for a chunk of `rawBytes`.
 * @throws {DataLossError} when `stored` is not what was written.
 */
export function decodeChunk(stored: Uint8Array, encoding: Encoding, rawBytes: number): Uint8Array {
  if (encoding === 'raw') return stored
  try {
    return zstdDecompressSync(stored, { maxOutputLength: Math.max(rawBytes, 1) })
  } catch (error) {
    throw new DataLossError('the compressed bytes are damaged', { cause: error })
  }
}
