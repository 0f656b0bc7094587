import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readlinkSync,
  readSync,
  type Stats,
} from 'node:fs'
import { join } from 'node:path'

/** Of a file, so much is read: the beginning tells what it is. */
const beginningBytes = 64 * 1024
/** As kernels have it. */
const linksMax = 40
/** On the way, those of links included: what needs more of them is no program that somebody wants to start. */
const namesMax = 1000
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
  /** From the root to where it is. */
  const above: number[] = []
  const leave = (count: number): void => {
    while (above.length > count) closeSync(above.pop() ?? -1)
  }
  try {
    // The root of a process is a link of the kernel's.
    above.push(openSync(root, pathOnly | constants.O_DIRECTORY))
    const pending = namesIn(path).toReversed()
    let nameCount = pending.length
    for (let links = 0; nameCount <= namesMax;) {
      const name = pending.pop()
      if (name === undefined) return { kind: 'directory' }
      if (name === '..') {
        leave(Math.max(above.length - 1, 1))
        continue
      }
      const at = `/proc/self/fd/${above.at(-1)}/${name}`
      const entry = openSync(at, pathOnly | constants.O_NOFOLLOW)
      above.push(entry)
      const stats = fstatSync(entry)
      if (stats.isSymbolicLink()) {
        links += 1
        if (links > linksMax) return { kind: 'missing' }
        const target = readlinkSync(at)
        leave(target.startsWith('/') ? 1 : above.length - 1)
        const names = namesIn(target)
        nameCount += names.length
        for (const next of names.toReversed()) pending.push(next)
      } else if (!stats.isDirectory()) {
        return pending.length > 0 ? { kind: 'missing' } : seenIn(entry, stats)
      }
    }
    return { kind: 'unknown' }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    return { kind: code === 'ENOENT' || code === 'ENOTDIR' ? 'missing' : 'unknown' }
  } finally {
    leave(0)
  }
}

function seenIn(entry: number, stats: Stats): Seen {
  if (stats.isFIFO()) return { kind: 'pipe' }
  if (!stats.isFile()) return { kind: 'other' }
  const { size, mode } = stats
  return { kind: 'file', sizeBytes: size, mode, beginning: beginningOf(entry) }
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
