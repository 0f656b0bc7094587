import { seededBytes } from './seeded-random.ts'

export const crashRepo = 'crash'

/**
 * What the file at `path` holds: inlined, in a row, or in the chunk store, by the path's digits. Where
 * it was copied or moved to makes no difference.
 */
export function crashBytes(placed: string): Uint8Array {
  const path = placed.replace(/^\/(?:copied|from|moved)/, '')
  const sizes = [20, 3000, 90_000]
  let seed = 0
  for (let index = 0; index < path.length; index += 1) seed = seed * 31 + path.charCodeAt(index)
  return seededBytes(seed % 1_000_000_007, sizes[seed % sizes.length] ?? 0)
}

/** What the piece at `path` holds: bytes that have no line feed, but for the last. */
export function crashLine(path: string): Uint8Array {
  const line = crashBytes(path).map((byte) => (byte === 10 ? 11 : byte))
  line[line.length - 1] = 10
  return line
}

/** Two repos whose commits are finished together. */
export const crashPair: readonly string[] = ['crash-left', 'crash-right']
