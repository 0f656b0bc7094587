/** What the beginning of a program in the usual format of Linux says. */
export interface Elf {
  /** As people call the processor. */
  readonly machine: string
  /** What must be there to load it; undefined for a program that is linked statically. */
  readonly loader: string | undefined
  /** Its file is at least so long, as far as its beginning tells. */
  readonly sizeBytesMin: number
}

const machines: ReadonlyMap<number, string> = new Map([
  [3, 'x86 (32 bits)'],
  [8, 'mips'],
  [20, 'ppc'],
  [21, 'ppc64'],
  [22, 's390x'],
  [40, 'arm (32 bits)'],
  [62, 'x86-64'],
  [183, 'aarch64'],
  [243, 'riscv'],
  [258, 'loongarch'],
])
const identityBytes = 16
const loadable = 1
const loaderName = 3
/** Of a loader's path. */
const pathBytesMax = 4096

/** Where the fields are that are looked at, in each of the two widths. */
interface Layout {
  readonly headerBytes: number
  readonly tableAt: number
  readonly entrySizeAt: number
  readonly entryCountAt: number
  readonly offsetAt: number
  readonly sizeAt: number
  readonly entryBytes: number
}

const narrow: Layout = {
  headerBytes: 52,
  tableAt: 28,
  entrySizeAt: 42,
  entryCountAt: 44,
  offsetAt: 4,
  sizeAt: 16,
  entryBytes: 32,
}
const wide: Layout = {
  headerBytes: 64,
  tableAt: 32,
  entrySizeAt: 54,
  entryCountAt: 56,
  offsetAt: 8,
  sizeAt: 32,
  entryBytes: 56,
}

/** Undefined for what is no such program. */
export function elfOf(beginning: Buffer): Elf | undefined {
  if (beginning.toString('latin1', 0, 4) !== '\u007fELF') return undefined
  const layout = beginning[4] === 1 ? narrow : wide
  if (beginning.length < layout.headerBytes) {
    return { machine: machineOf(beginning), loader: undefined, sizeBytesMin: layout.headerBytes }
  }
  const numbers = new Numbers(beginning, layout === wide, beginning[5] === 2)
  const table = numbers.offset(layout.tableAt)
  const entrySize = numbers.short(layout.entrySizeAt)
  const count = numbers.short(layout.entryCountAt)
  let loader: string | undefined
  let sizeBytesMin = table + entrySize * count
  for (let index = 0; index < count; index += 1) {
    const entry = table + index * entrySize
    if (entry + layout.entryBytes > beginning.length) break
    const kind = numbers.word(entry)
    const offset = numbers.offset(entry + layout.offsetAt)
    const size = numbers.offset(entry + layout.sizeAt)
    if (kind === loadable) sizeBytesMin = Math.max(sizeBytesMin, offset + size)
    if (kind === loaderName && size <= pathBytesMax && offset + size <= beginning.length) {
      loader = beginning.toString('latin1', offset, offset + size).replace(/\0.*$/s, '')
    }
  }
  return { machine: machineOf(beginning), loader, sizeBytesMin }
}

/** Numbers as the program's machine has them. */
class Numbers {
  readonly #bytes: Buffer
  readonly #isWide: boolean
  readonly #isBigEndian: boolean

  constructor(bytes: Buffer, isWide: boolean, isBigEndian: boolean) {
    this.#bytes = bytes
    this.#isWide = isWide
    this.#isBigEndian = isBigEndian
  }

  short(at: number): number {
    return this.#isBigEndian ? this.#bytes.readUInt16BE(at) : this.#bytes.readUInt16LE(at)
  }

  word(at: number): number {
    return this.#isBigEndian ? this.#bytes.readUInt32BE(at) : this.#bytes.readUInt32LE(at)
  }

  /** As wide as the machine's addresses. */
  offset(at: number): number {
    if (!this.#isWide) return this.word(at)
    return Number(
      this.#isBigEndian ? this.#bytes.readBigUInt64BE(at) : this.#bytes.readBigUInt64LE(at),
    )
  }
}

function machineOf(beginning: Buffer): string {
  if (beginning.length < identityBytes + 4) return 'unknown'
  const number = beginning[5] === 2 ? beginning.readUInt16BE(18) : beginning.readUInt16LE(18)
  return machines.get(number) ?? `another machine (${number})`
}
