/** Bytes that look random and follow from `seed`; xorshift, 4 bytes a step. */
export function seededBytes(seed: number, count: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(count / 4))
  let state = (seed * 0x9e3779b1 + 0x7f4a7c15) | 0 || 1
  for (let index = 0; index < words.length; index += 1) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[index] = state
  }
  return new Uint8Array(words.buffer, 0, count)
}
