import { utf8 } from './bytes.ts'

/** A file or directory of an archive. */
export interface TarEntry {
  /** Relative, with `/` between names. */
  readonly name: string
  readonly kind: 'file' | 'directory'
  /** Of a file. */
  readonly sizeBytes: number
  /** Whole seconds since 1970. */
  readonly modifiedSeconds: number
  /** Of a file: whether it is a program. */
  readonly isExecutable?: boolean
}

export const tarBlockBytes = 512
/** Two empty blocks end an archive. */
export const tarEnd: Uint8Array = new Uint8Array(2 * tarBlockBytes)

const nameBytesMax = 100
const prefixBytesMax = 155
/** Eleven octal digits. */
const sizeBytesMax = 8 ** 11 - 1

/**
 * The headers of an entry, by POSIX.1-2001: a ustar header and, for a name that does not fit there, or is
 * not ASCII, or a file that is too large, a pax header before it. Equal entries have equal headers.
 */
export function tarHeaders(entry: TarEntry): Uint8Array {
  const name = entry.kind === 'directory' ? `${entry.name}/` : entry.name
  const split = splitName(name)
  const isLarge = entry.sizeBytes > sizeBytesMax
  if (split !== undefined && !isLarge) return ustarHeader(entry, split)
  let records = ''
  if (split === undefined) records += paxRecord('path', name)
  if (isLarge) records += paxRecord('size', `${entry.sizeBytes}`)
  const body = utf8(records)
  const { modifiedSeconds } = entry
  const paxEntry = { name, kind: 'pax', sizeBytes: body.length, modifiedSeconds } as const
  const standIn = plainName(name)
  const blocks = [
    ustarHeader(paxEntry, { prefix: '', name: 'PaxHeaders/entry' }),
    body,
    new Uint8Array(tarPaddingBytes(body.length)),
    ustarHeader(
      { ...entry, sizeBytes: isLarge ? 0 : entry.sizeBytes },
      split ?? { prefix: '', name: standIn },
    ),
  ]
  const joined = new Uint8Array(blocks.reduce((size, block) => size + block.length, 0))
  let at = 0
  for (const block of blocks) {
    joined.set(block, at)
    at += block.length
  }
  return joined
}

/** What follows a file's content, so that the next entry begins with a block. */
export function tarPaddingBytes(sizeBytes: number): number {
  return (tarBlockBytes - (sizeBytes % tarBlockBytes)) % tarBlockBytes
}

interface SplitName {
  readonly prefix: string
  readonly name: string
}

/** The name as a ustar header can hold it. */
function splitName(name: string): SplitName | undefined {
  if (!/^[\u0020-\u007e]*$/.test(name)) return undefined
  if (name.length <= nameBytesMax) return { prefix: '', name }
  // Any slash will do, but that at the end of a directory's name.
  const slash = name.slice(0, Math.min(prefixBytesMax + 1, name.length - 1)).lastIndexOf('/')
  const rest = name.slice(slash + 1)
  if (slash <= 0 || rest.length > nameBytesMax) return undefined
  return { prefix: name.slice(0, slash), name: rest }
}

/** For readers that know no pax headers. */
function plainName(name: string): string {
  return name.replaceAll(/[^\u0020-\u007e]/g, '_').slice(-nameBytesMax)
}

/** `<size of the whole record> <key>=<value>`, on a line. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  const restBytes = utf8(rest).length
  let size = restBytes + String(restBytes).length
  if (restBytes + String(size).length > size) size += 1
  return `${size}${rest}`
}

function ustarHeader(
  entry: Omit<TarEntry, 'kind'> & { readonly kind: TarEntry['kind'] | 'pax' },
  { prefix, name }: SplitName,
): Uint8Array {
  const { kind, sizeBytes, modifiedSeconds } = entry
  const header = templates[entry.isExecutable === true ? 'program' : kind].slice()
  writeAscii(header, name, 0)
  writeAscii(header, octal(kind === 'directory' ? 0 : sizeBytes, 11), 124)
  writeAscii(header, octal(Math.max(0, modifiedSeconds), 11), 136)
  writeAscii(header, prefix, 345)
  let sum = 0
  for (const byte of header) sum += byte
  writeAscii(header, `${octal(sum, 6)}\0 `, 148)
  return header
}

/** What all headers of a kind have in common: all but the name, the size, the time and the sum. */
const templates: Readonly<Record<TarEntry['kind'] | 'pax' | 'program', Uint8Array>> = {
  file: template('0', 0o644),
  program: template('0', 0o755),
  directory: template('5', 0o755),
  pax: template('x', 0o644),
}

function template(typeFlag: string, mode: number): Uint8Array {
  const header = new Uint8Array(tarBlockBytes)
  for (const [text, at] of [
    [octal(mode, 7), 100],
    [octal(0, 7), 108],
    [octal(0, 7), 116],
    // The sum is taken with blanks in its place.
    [' '.repeat(8), 148],
    [typeFlag, 156],
    ['ustar\u000000', 257],
    [octal(0, 7), 329],
    [octal(0, 7), 337],
  ] as const) {
    writeAscii(header, text, at)
  }
  return header
}

function writeAscii(target: Uint8Array, text: string, at: number): void {
  for (let index = 0; index < text.length; index += 1) target[at + index] = text.charCodeAt(index)
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0')
}
