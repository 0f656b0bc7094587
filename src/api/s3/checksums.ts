import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'

export const checksumNames = ['crc32', 'crc32c', 'crc64nvme', 'sha1', 'sha256'] as const
export type ChecksumName = (typeof checksumNames)[number]

/** What is made of bytes as they pass. */
export interface Digest {
  update(bytes: Uint8Array): void
  end(): Buffer
}

export function startDigest(name: ChecksumName | 'md5'): Digest {
  switch (name) {
    case 'crc32':
      return new Crc32()
    case 'crc32c':
      return new Crc(crc32cTable)
    case 'crc64nvme':
      return new Crc64(crc64Table)
    case 'md5':
    case 'sha1':
    case 'sha256':
      return new Hash(name)
  }
}

class Hash implements Digest {
  readonly #hash: ReturnType<typeof createHash>

  constructor(name: string) {
    this.#hash = createHash(name)
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  end(): Buffer {
    return this.#hash.digest()
  }
}

class Crc32 implements Digest {
  #value = 0

  update(bytes: Uint8Array): void {
    this.#value = crc32(bytes, this.#value)
  }

  end(): Buffer {
    return bigEndian([this.#value])
  }
}

/** Reflected, with all bits set before and turned over at the end, as all of these are. */
class Crc implements Digest {
  readonly #table: Uint32Array
  #value = 0xffffffff

  constructor(table: Uint32Array) {
    this.#table = table
  }

  update(bytes: Uint8Array): void {
    const table = this.#table
    let value = this.#value
    for (const byte of bytes) value = (value >>> 8) ^ (table[(value ^ byte) & 0xff] ?? 0)
    this.#value = value
  }

  end(): Buffer {
    return bigEndian([~this.#value])
  }
}

interface WideTable {
  readonly high: Uint32Array
  readonly low: Uint32Array
}

/** In two halves: numbers of 64 bits would be slow. */
class Crc64 implements Digest {
  readonly #table: WideTable
  #high = 0xffffffff
  #low = 0xffffffff

  constructor(table: WideTable) {
    this.#table = table
  }

  update(bytes: Uint8Array): void {
    const { high: highs, low: lows } = this.#table
    let high = this.#high
    let low = this.#low
    for (const byte of bytes) {
      const index = (low ^ byte) & 0xff
      low = ((low >>> 8) | (high << 24)) ^ (lows[index] ?? 0)
      high = (high >>> 8) ^ (highs[index] ?? 0)
    }
    this.#high = high
    this.#low = low
  }

  end(): Buffer {
    return bigEndian([~this.#high, ~this.#low])
  }
}

function bigEndian(words: readonly number[]): Buffer {
  const bytes = Buffer.alloc(words.length * 4)
  for (const [index, word] of words.entries()) bytes.writeUInt32BE(word >>> 0, index * 4)
  return bytes
}

/** Polynomials with their bits reversed. */
const crc32cPolynomial = 0x82f63b78
const crc64Polynomial = { high: 0x9a6c9329, low: 0xac4bc9b5 } as const

const crc32cTable: Uint32Array = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit += 1) {
    value = (value >>> 1) ^ ((value & 1) === 1 ? crc32cPolynomial : 0)
  }
  return value
})

const crc64Table: WideTable = makeWideTable()

function makeWideTable(): WideTable {
  const table = { high: new Uint32Array(256), low: new Uint32Array(256) }
  for (let index = 0; index < 256; index += 1) {
    let high = 0
    let low = index
    for (let bit = 0; bit < 8; bit += 1) {
      const isSet = (low & 1) === 1
      low = (low >>> 1) | (high << 31)
      high >>>= 1
      if (!isSet) continue
      high ^= crc64Polynomial.high
      low ^= crc64Polynomial.low
    }
    table.high[index] = high
    table.low[index] = low
  }
  return table
}
