const offsetLow = 0x811c9dc5
const offsetHigh = 0x5bd1e995
const prime = 0x01000193

/**
 * The number that programs see of a name in a directory: the same each time, whether it comes from a
 * list or from a look-up, and different from others' but by a chance of 1 in 2^50 or so. FNV-1a, twice.
 */
export function inodeNumber(parent: number, name: string): number {
  let low = mix(offsetLow, parent)
  let high = mix(offsetHigh, parent)
  for (let index = 0; index < name.length; index += 1) {
    const code = name.charCodeAt(index)
    low = Math.imul(low ^ code, prime)
    high = Math.imul(high ^ code ^ (low >>> 13), prime)
  }
  // 1 is the top; 0 means nothing.
  return (high >>> 11) * 2 ** 32 + (low >>> 0) + 2
}

function mix(start: number, parent: number): number {
  const low = Math.imul(start ^ (parent >>> 0), prime)
  return Math.imul(low ^ Math.floor(parent / 2 ** 32), prime)
}
