import { hash } from 'node:crypto'

/** No chunk ends before it has this many bytes, unless its stream does. */
export const splitBytesMin: number = 256 * 1024
/** Up to here a cut is unlikely, beyond it likely; the average comes out near 1 MiB. */
export const splitBytesNormal: number = 768 * 1024
/** A cut needs so many of the hash's top bits to be 0: 22, then 18. */
export const maskHard = 0xfffffc00
export const maskEasy = 0xffffc000

/**
 * What each byte adds to the rolling hash: entry N is the first four bytes, little-endian, of the
 * SHA-256 of the single byte N.
 */
export function gearTable(): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) =>
    hash('sha256', Uint8Array.of(byte), 'buffer').readUInt32LE(0),
  )
}
