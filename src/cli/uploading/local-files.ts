import { isUtf8 } from 'node:buffer'
import {
  closeSync,
  constants,
  type Dirent,
  openSync,
  readdirSync,
  readSync,
  statSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { posix } from 'node:path'
import { type ByteStream, utf8Text } from '../../base/bytes.ts'
import { FailedPreconditionError, InvalidArgumentError } from '../../base/errors.ts'
import type { Target } from './targets.ts'

/** Something below a directory that is left out: links to directories would lead around. */
export interface LeftOut {
  readonly source: string
  /** Such as `a link to a directory`. */
  readonly what: string
}

/**
 * The files at the targets and, with `isRecursive`, below them. A link to a file counts as that
 * file; other links, sockets, pipes, devices and names that are not UTF-8 below a directory are told
 * and left out. Sources are local paths here.
 *
 * @throws {InvalidArgumentError} for a directory without `isRecursive`.
 */
export function* findFiles(
  targets: readonly Target[],
  isRecursive: boolean,
  onLeftOut: (left: LeftOut) => void,
): Generator<Target> {
  for (const target of targets) {
    if (!statSync(target.source).isDirectory()) yield target
    else if (isRecursive) yield* findBelow(target, onLeftOut)
    else {
      throw new InvalidArgumentError(
        `${target.source} is a directory; to put the files below it, use -r`,
      )
    }
  }
}

// Synchronous, a directory at a time: for small files several times as fast as promises.
function* findBelow(
  { source, path }: Target,
  onLeftOut: (left: LeftOut) => void,
): Generator<Target> {
  // Once for all names: to join paths takes as long as to open a file.
  const before = {
    source: posix.join(source, 'x').slice(0, -1),
    path: path === '' ? '' : `${path}/`,
  }
  for (const [name, entry] of entriesOf(source, onLeftOut)) {
    const inner = { source: before.source + name, path: before.path + name }
    const what = entry.isSymbolicLink() ? whatLinkIs(inner.source) : whatEntryIs(entry)
    if (what === 'a file') yield inner
    else if (what === 'a directory') yield* findBelow(inner, onLeftOut)
    else onLeftOut({ source: inner.source, what })
  }
}

/** What is in a directory, but for names that no repo can have: those are told and left out. */
function entriesOf(
  directory: string,
  onLeftOut: (left: LeftOut) => void,
): readonly (readonly [
  name: string,
  entry: Pick<Dirent, 'isFile' | 'isDirectory' | 'isSymbolicLink'>,
])[] {
  const entries = readdirSync(directory, { withFileTypes: true })
  // U+FFFD is what Node writes for bytes that are not UTF-8; or it is part of a name.
  if (!entries.some(({ name }) => name.includes('\ufffd'))) {
    return entries.map((entry) => [entry.name, entry])
  }
  return readdirSync(directory, { withFileTypes: true, encoding: 'buffer' }).flatMap((entry) => {
    if (isUtf8(entry.name)) return [[utf8Text(entry.name), entry] as const]
    const source = posix.join(directory, visibleName(entry.name))
    onLeftOut({ source, what: 'a name that is not UTF-8' })
    return []
  })
}

/** With an escape, such as `\xff`, for each byte that is not ASCII or cannot be seen. */
function visibleName(name: Uint8Array): string {
  let text = ''
  for (const byte of name) {
    const isVisible = byte >= 0x20 && byte < 0x7f
    text += isVisible ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return text
}

function whatEntryIs(entry: Pick<Dirent, 'isFile' | 'isDirectory'>): string {
  if (entry.isFile()) return 'a file'
  return entry.isDirectory() ? 'a directory' : 'neither a file nor a directory'
}

function whatLinkIs(source: string): string {
  const target = statSync(source, { throwIfNoEntry: false })
  if (target === undefined) return 'a link to nothing'
  if (target.isFile()) return 'a file'
  return target.isDirectory() ? 'a link to a directory' : 'a link to no file'
}

/** A file that may be small: see `SmallFile`. */
export function readFileInto(source: string, into: Uint8Array, offset: number): number | undefined {
  const file = openSync(source, constants.O_RDONLY)
  try {
    let end = offset
    while (end < into.length) {
      const count = readAt(file, into, end, source)
      if (count === 0) return end - offset
      end += count
    }
    return undefined
  } finally {
    closeSync(file)
  }
}

function readAt(file: number, into: Uint8Array, offset: number, source: string): number {
  try {
    return readSync(file, into, offset, into.length - offset, null)
  } catch (error) {
    throw unreadable(source, error)
  }
}

/** Which file it was: reads do not say. */
function unreadable(source: string, error: unknown): FailedPreconditionError {
  const text = error instanceof Error ? error.message : String(error)
  const reason = /^\w+: (.*), read$/.exec(text)?.[1] ?? text
  return new FailedPreconditionError(`${source}: ${reason}`, { cause: error })
}

const sliceBytes = 1024 * 1024

/** The content of a file, a pipe or the like; the next slice is read while one is in use. */
export async function* readSlices(source: string): ByteStream & AsyncGenerator<Uint8Array> {
  await using file = await open(source)
  const read = async (): Promise<Uint8Array> => {
    const slice = Buffer.allocUnsafeSlow(sliceBytes)
    try {
      const { bytesRead } = await file.read(slice, 0, sliceBytes, null)
      return slice.subarray(0, bytesRead)
    } catch (error) {
      throw unreadable(source, error)
    }
  }
  let next = read()
  try {
    for (;;) {
      const slice = await next
      if (slice.length === 0) return
      next = read()
      yield slice
    }
  } finally {
    await next.catch(() => undefined)
  }
}
