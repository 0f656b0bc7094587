import { createHash } from 'node:crypto'

/**
 * Where chunks end, computed byte by byte straight from `docs/formats/chunks.md`; shares nothing
 * with the splitter.
 */
export function referenceCuts(bytes: Uint8Array): readonly number[] {
  const ends: number[] = []
  for (let start = 0; start < bytes.length;) {
    const end = referenceCut(bytes, start)
    ends.push(end)
    start = end
  }
  return ends
}

const gear = Array.from({ length: 256 }, (_, byte) =>
  createHash('sha256').update(Uint8Array.of(byte)).digest().readUInt32LE(0),
)

function referenceCut(bytes: Uint8Array, start: number): number {
  for (let size = 262_144; start + size <= bytes.length; size += 1) {
    if (size === 4_194_304) return start + size
    const zeroBits = size <= 786_432 ? 22 : 18
    if (windowHash(bytes, start + size) >>> (32 - zeroBits) === 0) return start + size
  }
  return bytes.length
}

/** The hash of the 32 bytes before `end`, from scratch unless the window moved by one. */
let last: { bytes: Uint8Array; end: number; hash: number } = {
  bytes: new Uint8Array(0),
  end: -1,
  hash: 0,
}
function windowHash(bytes: Uint8Array, end: number): number {
  let hash = 0
  if (last.bytes === bytes && last.end === end - 1) {
    // A byte's share is shifted out after 32 steps.
    hash = ((last.hash << 1) + (gear[bytes[end - 1] ?? 0] ?? 0)) >>> 0
  } else {
    for (let at = end - 32; at < end; at += 1) {
      hash = ((hash << 1) + (gear[bytes[at] ?? 0] ?? 0)) >>> 0
    }
  }
  last = { bytes, end, hash }
  return hash
}

/** The noise of the test vectors there: the SHA-256 of 0, 1, 2, … joined. */
export function noise(size: number): Uint8Array {
  const bytes = new Uint8Array(size)
  const number = Buffer.alloc(8)
  for (let at = 0; at < size; at += 32) {
    number.writeBigUInt64LE(BigInt(at / 32))
    bytes.set(createHash('sha256').update(number).digest(), at)
  }
  return bytes
}
