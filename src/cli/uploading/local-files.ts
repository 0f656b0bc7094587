import { closeSync, type Dirent, openSync, readdirSync, readSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { posix } from 'node:path'
import type { ByteStream } from '../../base/bytes.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import type { Target } from './targets.ts'

/** Something below a directory that is left out: links to directories would lead around. */
export interface LeftOut {
  readonly source: string
  /** Such as `a link to a directory`. */
  readonly what: string
}

/**
 * The files at the targets and, with `isRecursive`, below them. A link to a file counts as that
 * file; other links, sockets, pipes and devices below a directory are told and left out. Sources
 * are local paths here.
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
  for (const entry of readdirSync(source, { withFileTypes: true })) {
    const inner = {
      source: posix.join(source, entry.name),
      path: path === '' ? entry.name : `${path}/${entry.name}`,
    }
    const what = entry.isSymbolicLink() ? whatLinkIs(inner.source) : whatEntryIs(entry)
    if (what === 'a file') yield inner
    else if (what === 'a directory') yield* findBelow(inner, onLeftOut)
    else onLeftOut({ source: inner.source, what })
  }
}

function whatEntryIs(entry: Dirent): string {
  if (entry.isFile()) return 'a file'
  return entry.isDirectory() ? 'a directory' : 'neither a file nor a directory'
}

function whatLinkIs(source: string): string {
  const target = statSync(source, { throwIfNoEntry: false })
  if (target === undefined) return 'a link to nothing'
  if (target.isFile()) return 'a file'
  return target.isDirectory() ? 'a link to a directory' : 'a link to no file'
}

const slabBytes = 1024 * 1024
/** The rest of a slab is given up when it is smaller. */
const roomBytesMin = 64 * 1024

/**
 * Reads small files at once, one after another, into slabs of memory that are not written again.
 */
export class SmallFileReader {
  #room: Uint8Array = new Uint8Array(0)

  /** A file's content, which must not be changed; or undefined when it is not small. */
  read(source: string): Uint8Array | undefined {
    if (this.#room.length < roomBytesMin) this.#room = Buffer.allocUnsafeSlow(slabBytes)
    const file = openSync(source, 'r')
    try {
      let size = 0
      for (;;) {
        if (size === this.#room.length) return undefined
        const count = readSync(file, this.#room, size, this.#room.length - size, null)
        if (count === 0) break
        size += count
      }
      const content = this.#room.subarray(0, size)
      this.#room = this.#room.subarray(size)
      return content
    } finally {
      closeSync(file)
    }
  }
}

const sliceBytes = 1024 * 1024

/** The content of a file, a pipe or the like; the next slice is read while one is in use. */
export async function* readSlices(source: string): ByteStream & AsyncGenerator<Uint8Array> {
  await using file = await open(source)
  const read = async (): Promise<Uint8Array> => {
    const slice = Buffer.allocUnsafeSlow(sliceBytes)
    const { bytesRead } = await file.read(slice, 0, sliceBytes, null)
    return slice.subarray(0, bytesRead)
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
