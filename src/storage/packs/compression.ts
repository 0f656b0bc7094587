import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { DataLossError } from '../../base/errors.ts'
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

const options = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }

/** `bytes` as they are to be stored: compressed when it pays, else the same view. */
export function encodeChunk(bytes: Uint8Array): EncodedChunk {
  const raw: EncodedChunk = { stored: bytes, encoding: 'raw' }
  if (bytes.length < compressBytesMin) return raw
  if (bytes.length >= 4 * probeBytes) {
    const start = (bytes.length - probeBytes) >>> 1
    if (!pays(zstdCompressSync(bytes.subarray(start, start + probeBytes), options), probeBytes)) {
      return raw
    }
  }
  const stored = zstdCompressSync(bytes, options)
  return pays(stored, bytes.length) ? { stored, encoding: 'zstd' } : raw
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

function pays(compressed: Uint8Array, size: number): boolean {
  return compressed.length <= size * keepRatioMax
}
