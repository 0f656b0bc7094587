/** What the main thread and a splitter thread say to each other. */

import { type ChunkId, chunkBytesMax } from '../chunks.ts'

/** New bytes of a segment. */
export const segmentBodyBytes: number = 4 * 1024 * 1024
/** Before them is room for the end of the segment before, which was not a whole chunk. */
export const segmentBytes: number = chunkBytesMax + segmentBodyBytes

export interface SplitChunk {
  readonly id: ChunkId
  /** Where it lies in the segment. */
  readonly start: number
  readonly end: number
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
      /** Compress those chunks for which it pays. */
      readonly kind: 'encode'
      readonly chunks: readonly SplitChunk[]
    }
)

export interface SplitAnswer {
  readonly job: number
  /** Answers `split`. */
  readonly chunks: readonly SplitChunk[]
  /** Answers `encode`: compressed bytes, or undefined for a chunk that is stored as it is. */
  readonly encoded: readonly (Uint8Array | undefined)[]
}
