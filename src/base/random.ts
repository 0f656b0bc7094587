import { hexText } from './bytes.ts'

/** Chance as a value that is passed in, so that one seed replays a whole run. */
export interface Random {
  /** Uniform in [0, 1). */
  fraction(): number
  /** `count` bytes fit for secrets and ids. */
  bytes(count: number): Uint8Array
}

/** The generator is asked for so much at once. */
const poolBytes = 4096

/** The platform's cryptographic generator. */
export class SystemRandom implements Random {
  #pool = new Uint8Array(0)

  fraction(): number {
    return Math.random()
  }

  bytes(count: number): Uint8Array {
    if (count > poolBytes) throw new RangeError(`at most ${poolBytes} random bytes at once`)
    if (count > this.#pool.length) this.#pool = crypto.getRandomValues(new Uint8Array(poolBytes))
    const bytes = this.#pool.slice(0, count)
    this.#pool = this.#pool.subarray(count)
    return bytes
  }
}

/** A UUIDv4 as 32 lower-case hex digits without dashes: the form of commit ids. */
export function newHexId(random: Random): string {
  const bytes = random.bytes(16)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  return hexText(bytes)
}

/** A UUIDv4 with dashes: the form of job ids. */
export function newDashedId(random: Random): string {
  const hex = newHexId(random)
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-')
}
