import { closeSync, constants, fstatSync, openSync, readlinkSync, readSync } from 'node:fs'
import { join } from 'node:path'

/** Of a file, so much is read: the beginning tells what it is. */
const beginningBytes = 64 * 1024
/** As kernels have it. */
const linksMax = 40
/** Linux's, which Node does not name: the file itself is not opened, whatever it is. */
const pathOnly = 0o10000000

/** What is at a path, for a process; `unknown` where this process cannot look. */
export type Seen =
  | { readonly kind: 'missing' | 'directory' | 'pipe' | 'other' | 'unknown' }
  | SeenFile

export interface SeenFile {
  readonly kind: 'file'
  readonly sizeBytes: number
  readonly mode: number
  /** Empty for what may not be read. */
  readonly beginning: Buffer
}

/**
 * Looks at `path` as a process sees it whose root directory is `root`. Links lead nowhere else, even when they
 * change meanwhile: what is there is user code's. Nothing but files is opened, and no name is followed by the
 * kernel but one at a time.
 */
export function seenAt(root: string, path: string): Seen {
  using opened = new DisposableStack()
  const open = (at: string, flags: number): number =>
    opened.adopt(openSync(at, flags | constants.O_NOFOLLOW), closeSync)
  try {
    // The root of a process is a link of the kernel's.
    const top = opened.adopt(openSync(root, pathOnly | constants.O_DIRECTORY), closeSync)
    let above = [top]
    let names = namesIn(path)
    for (let links = 0; ;) {
      const [name, ...rest] = names
      if (name === undefined) return { kind: 'directory' }
      names = rest
      if (name === '..') {
        if (above.length > 1) above.pop()
        continue
      }
      const at = `/proc/self/fd/${above.at(-1)}/${name}`
      const entry = open(at, pathOnly)
      const stats = fstatSync(entry)
      if (stats.isSymbolicLink()) {
        links += 1
        if (links > linksMax) return { kind: 'missing' }
        const target = readlinkSync(at)
        if (target.startsWith('/')) above = [top]
        names = [...namesIn(target), ...rest]
      } else if (stats.isDirectory()) above.push(entry)
      else if (rest.length > 0) return { kind: 'missing' }
      else if (stats.isFIFO()) return { kind: 'pipe' }
      else if (!stats.isFile()) return { kind: 'other' }
      else {
        const { size, mode } = stats
        return { kind: 'file', sizeBytes: size, mode, beginning: beginningOf(entry) }
      }
    }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    return { kind: code === 'ENOENT' || code === 'ENOTDIR' ? 'missing' : 'unknown' }
  }
}

/** Where a program is that is named without a directory, on `path` of a process. */
export function seenOnPath(root: string, program: string, path: string): string | undefined {
  return path
    .split(':')
    .map((directory) => join('/', directory, program))
    .find((file) => {
      const seen = seenAt(root, file)
      return seen.kind === 'file' && (seen.mode & 0o111) !== 0
    })
}

function namesIn(path: string): readonly string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.')
}

function beginningOf(entry: number): Buffer {
  const buffer = Buffer.alloc(beginningBytes)
  try {
    const flags = constants.O_RDONLY | constants.O_NONBLOCK
    const descriptor = openSync(`/proc/self/fd/${entry}`, flags)
    try {
      return buffer.subarray(0, readSync(descriptor, buffer, 0, buffer.length, 0))
    } finally {
      closeSync(descriptor)
    }
  } catch {
    // What may be executed need not be readable.
    return buffer.subarray(0, 0)
  }
}
