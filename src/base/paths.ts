import type { Brand } from './brand.ts'
import { utf8, utf8Text } from './bytes.ts'
import { InvalidArgumentError } from './errors.ts'

/** A normalised path in a commit: empty for the root, else `/a/b`: no `.`, `..`, NUL or trailing slash. */
export type FilePath = Brand<string, 'FilePath'>

export const rootPath: FilePath = '' as FilePath

const slashByte = 0x2f
const dotByte = 0x2e
const pathBytesMax = 4096
/** With slashes and dots that mean nothing. */
const pathTextMax = 16 * pathBytesMax
const nameBytesMax = 1024

/**
 * Normalises a path that a client sent: adds the leading slash, removes `.`, double and trailing
 * slashes, resolves `..`.
 *
 * @throws {InvalidArgumentError} for a path that escapes the root, holds NUL or a lone surrogate
 * (not UTF-8), has a name over 1,024 bytes or is over 4,096 bytes.
 */
export function parseFilePath(text: string): FilePath {
  if (isPlain(text)) return (text.charCodeAt(0) === slashByte ? text : `/${text}`) as FilePath
  // Before anything goes through all of it.
  if (text.length > pathTextMax) {
    throw new InvalidArgumentError(
      `path of ${text.length} characters is too long: at most ${pathBytesMax} bytes are allowed (${text.slice(0, 60)}…)`,
    )
  }
  if (text.includes('\0')) {
    throw new InvalidArgumentError(
      `filename cannot contain null character: ${JSON.stringify(text)}`,
    )
  }
  if (!text.isWellFormed()) {
    throw new InvalidArgumentError(`path is not valid UTF-8: ${JSON.stringify(text)}`)
  }
  const names: string[] = []
  for (const name of text.split('/')) {
    if (name === '' || name === '.') continue
    if (name !== '..') names.push(name)
    else if (names.pop() === undefined) {
      throw new InvalidArgumentError(
        `path ${JSON.stringify(text)} leads out of the root; remove the leading ".."`,
      )
    }
  }
  const path = names.length === 0 ? '' : `/${names.join('/')}`
  checkPathSize(path, names)
  return path as FilePath
}

/** Whether nothing of a path is to be removed or looked at closely: most are so, and come in millions. */
function isPlain(text: string): boolean {
  if (text.length === 0 || (text.length + 1) * 3 > nameBytesMax) return false
  let before = slashByte
  for (let index = text.charCodeAt(0) === slashByte ? 1 : 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    const isOdd = before === slashByte && (code === slashByte || code === dotByte)
    if (isOdd || code === 0 || code >= 0x80) return false
    before = code
  }
  return before !== slashByte
}

function checkPathSize(path: string, names: readonly string[]): void {
  if (path.length * 3 > nameBytesMax) {
    const size = utf8(path).length
    if (size > pathBytesMax) {
      throw new InvalidArgumentError(
        `path of ${size} bytes is too long: at most ${pathBytesMax} are allowed (${path.slice(0, 60)}…)`,
      )
    }
    const long = names.find((name) => utf8(name).length > nameBytesMax)
    if (long !== undefined) {
      throw new InvalidArgumentError(
        `file name of ${utf8(long).length} bytes is too long: at most ${nameBytesMax} are allowed (${long.slice(0, 60)}…)`,
      )
    }
  }
}

/** The names along the path; empty for the root. */
export function pathNames(path: FilePath): readonly string[] {
  return path === '' ? [] : path.slice(1).split('/')
}

export function joinPath(path: FilePath, name: string): FilePath {
  return `${path}/${name}` as FilePath
}

/** The path one level up; the root is its own parent. */
export function parentPath(path: FilePath): FilePath {
  return path.slice(0, Math.max(0, path.lastIndexOf('/'))) as FilePath
}

export function baseName(path: FilePath): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** True when `path` is `ancestor` or lies below it. */
export function isWithin(path: FilePath, ancestor: FilePath): boolean {
  const { length } = ancestor
  if (!path.startsWith(ancestor)) return false
  return path.length === length || path.charCodeAt(length) === slashByte
}

/**
 * A path as bytes that sort like the tree: names in byte order, a directory right before what is
 * in it. The names' UTF-8, joined by NUL, which no name can hold; the root is empty.
 */
export function pathKey(path: FilePath): Uint8Array {
  return asciiKey(path) ?? withNul(utf8(path.slice(1)))
}

/** Where every character is one byte: an encoder takes several times as long for so few. */
function asciiKey(path: FilePath): Uint8Array | undefined {
  const key = new Uint8Array(Math.max(0, path.length - 1))
  for (let index = 0; index < key.length; index += 1) {
    const code = path.charCodeAt(index + 1)
    if (code >= 0x80) return undefined
    key[index] = code === slashByte ? 0 : code
  }
  return key
}

function withNul(key: Uint8Array): Uint8Array {
  for (let index = 0; index < key.length; index += 1) {
    if (key[index] === slashByte) key[index] = 0
  }
  return key
}

/** The inverse of `pathKey`. */
export function pathOfKey(key: Uint8Array): FilePath {
  if (key.length === 0) return rootPath
  return `/${utf8Text(key).replaceAll('\0', '/')}` as FilePath
}
