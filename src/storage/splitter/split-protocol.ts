/** What the main thread and a splitter thread say to each other. */

import { type ChunkId, chunkBytesMax } from '../chunks.ts'

/** New bytes of a segment. */
export const segmentBodyBytes: number = 4 * 1024 * 1024
/** Before them is room for the end of the segment before, which was not a whole chunk. */
export const segmentBytes: number = chunkBytesMax + segmentBodyBytes

/** Where a chunk lies in a segment. */
export interface ChunkRange {
  readonly start: number
  readonly end: number
}

export interface HashedChunk extends ChunkRange {
  readonly id: ChunkId
}

export type SplitRequest = { readonly job: number; readonly memory: SharedArrayBuffer } & (
  | {
      /** Cut what lies between `start` and `end`; with `isLast`, the rest is a chunk, too. */
      readonly kind: 'split'
      readonly start: number
      readonly end: number
      readonly isLast: boolean
    }
  | {
      /** `hash` names the chunks, `encode` compresses those for which it pays. */
      readonly kind: 'hash' | 'encode'
      readonly chunks: readonly ChunkRange[]
    }
)

/** The field of the request's kind has something for each chunk; the others are empty. */
export interface SplitAnswer {
  readonly job: number
  readonly chunks: readonly ChunkRange[]
  readonly hashed: readonly HashedChunk[]
  /** Compressed bytes, or undefined for a chunk that is stored as it is. */
  readonly encoded: readonly (Uint8Array<ArrayBuffer> | undefined)[]
}
