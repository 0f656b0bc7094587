import {
  type BigIntStats,
  chmodSync,
  closeSync,
  constants,
  type Dirent,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  opendirSync,
  openSync,
  readdirSync,
} from 'node:fs'

/**
 * Whether what is in an open directory can be named by the descriptor, as it must be where others may move that
 * directory meanwhile. Elsewhere than on Linux, paths have to do.
 */
const namesByDescriptor = process.platform === 'linux' && existsSync('/proc/self/fd')
/** Of Linux, for a descriptor that names what it is of, and takes no right to it. */
const openPath = 0o10000000
/** Nobody is waited for: neither who should write to a named pipe, nor who has a lease on a file. */
const readFlags =
  constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY
const directoryFlags = readFlags | constants.O_DIRECTORY
const directoryRights = 0o700
const fileRights = 0o600
const permissionBits = 0o7777
/** A directory that takes up no more has so few entries that listing them all at once takes no longer. */
const shortBytesMax = 32n * 1024n
/** Entries that are asked for at a time where there may be very many. */
const bufferedCount = 256
/** Directories of one tree that are open at a time. */
const heldMax = 32

type Rights = 'given back' | 'as they are'

/**
 * A directory held by its descriptor: what is called by a name in it is in that very directory, wherever others
 * move it, and whatever they put in its place. So a tree in which others may still be at work is never left.
 */
export class HeldDirectory implements Disposable {
  /** As it was opened. */
  readonly stats: BigIntStats
  readonly #rights: Rights
  readonly #descriptor: number
  readonly #prefix: Buffer
  readonly #prefixText: string

  private constructor(path: string | Buffer, rights: Rights) {
    this.#rights = rights
    this.#descriptor =
      rights === 'given back'
        ? openWithRights(path, directoryFlags, directoryRights)
        : openSync(path, directoryFlags)
    this.stats = fstatSync(this.#descriptor, { bigint: true })
    this.#prefix = Buffer.from(
      namesByDescriptor ? `/proc/self/fd/${this.#descriptor}/` : `${path.toString()}/`,
    )
    this.#prefixText = this.#prefix.toString()
    if (rights === 'given back') this.#takeRights()
  }

  /**
   * `path` is trusted, but for its last name: a symbolic link there is not followed. Rights that its owner, if that is
   * this process, took away are given back, unless all is to stay as it is.
   */
  static open(path: string, rights: Rights = 'given back'): HeldDirectory {
    return new HeldDirectory(path, rights)
  }

  /** One in it, in the same way. */
  open(name: string | Buffer): HeldDirectory {
    const path = typeof name === 'string' ? this.pathOf(name) : this.bytesPathOf(name)
    return new HeldDirectory(path, this.#rights)
  }

  /** For calls that do not follow a link of this name, as long as this is open. */
  pathOf(name: string): string {
    return this.#prefixText + name
  }

  /** The same for a name that need not be UTF-8. */
  bytesPathOf(name: Buffer): Buffer {
    return Buffer.concat([this.#prefix, name])
  }

  /** Of very many, it lists no more than `countMax`. */
  entries(countMax: number = Number.POSITIVE_INFINITY): Dirent<Buffer>[] {
    for (const piece of this.pieces(countMax)) return piece
    return []
  }

  /** All of them; of very many, `countMax` are listed each time that the next are asked for. */
  *pieces(countMax: number): Generator<Dirent<Buffer>[]> {
    if (countMax === Number.POSITIVE_INFINITY || this.stats.size <= shortBytesMax) {
      yield readdirSync(this.#prefix, { withFileTypes: true, encoding: 'buffer' })
      return
    }
    // Names can be asked for as buffers here, too, which Node's types do not say.
    const encoding = 'buffer' as BufferEncoding
    const listing = opendirSync(this.#prefix, { encoding, bufferSize: bufferedCount })
    try {
      let piece: Dirent<Buffer>[] = []
      for (let entry = listing.readSync(); entry !== null; entry = listing.readSync()) {
        piece.push(entry as unknown as Dirent<Buffer>)
        if (piece.length < countMax) continue
        yield piece
        piece = []
      }
      if (piece.length > 0) yield piece
    } finally {
      listing.closeSync()
    }
  }

  /** Makes it this process's own, with these rights. */
  restore(mode: number): void {
    const { uid, gid, mode: present } = fstatSync(this.#descriptor)
    const owner = process.geteuid?.()
    if (owner !== undefined && uid !== owner) fchownSync(this.#descriptor, owner, gid)
    if ((present & permissionBits) !== mode) fchmodSync(this.#descriptor, mode)
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor)
  }

  #takeRights(): void {
    const mode = Number(this.stats.mode) & permissionBits
    if ((mode & directoryRights) === directoryRights) return
    try {
      fchmodSync(this.#descriptor, mode | directoryRights)
    } catch {
      // Somebody else's: then what needs more than there is says so.
    }
  }
}

/**
 * The directories below one, each by its names from there, held when they are asked for: those on the way to the
 * last one stay open, for the next is mostly near, but no more of them than a few.
 */
export class HeldTree implements Disposable {
  readonly #root: HeldDirectory
  /** Below the root: each one is in the one before, or in one that is no longer held. */
  readonly #held: { readonly depth: number; readonly directory: HeldDirectory }[] = []
  /** To the one that was asked for last. */
  #names: readonly string[] = []

  /** The path of the root is trusted, but for its last name. */
  constructor(path: string) {
    this.#root = HeldDirectory.open(path)
  }

  /** Held until the next call. None of the names is followed if it is a symbolic link. */
  directory(names: readonly string[]): HeldDirectory {
    const firstOther = names.findIndex((name, index) => name !== this.#names[index])
    const shared = firstOther === -1 ? names.length : firstOther
    while ((this.#held.at(-1)?.depth ?? 0) > shared) this.#held.pop()?.directory[Symbol.dispose]()
    this.#names = names
    let { depth, directory } = this.#held.at(-1) ?? { depth: 0, directory: this.#root }
    for (const name of names.slice(depth)) {
      directory = directory.open(name)
      depth += 1
      this.#held.push({ depth, directory })
      if (this.#held.length > heldMax) this.#held.shift()?.directory[Symbol.dispose]()
    }
    return directory
  }

  /** For one call, before the next of this object's, that does not follow a link of the last name. */
  pathOf(names: readonly string[]): string {
    const name = names.at(-1)
    return name === undefined
      ? this.#root.pathOf('.')
      : this.directory(names.slice(0, -1)).pathOf(name)
  }

  [Symbol.dispose](): void {
    for (const { directory } of this.#held.splice(0)) directory[Symbol.dispose]()
    this.#root[Symbol.dispose]()
  }
}

/**
 * Opens for reading what a held directory has the path of; the right to it is given back where its owner, if that
 * is this process, took it away. What it is shows when it is open: whoever it is that waits at the other end of a
 * named pipe, this does not.
 */
export function openHeldFile(path: string): number {
  return openWithRights(path, readFlags, fileRights)
}

function openWithRights(path: string | Buffer, flags: number, rights: number): number {
  try {
    return openSync(path, flags)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EACCES')) throw error
    giveRights(path, rights)
    return openSync(path, flags)
  }
}

/** No link is followed, though there is no such call: by a descriptor, it is known what gets the rights. */
function giveRights(path: string | Buffer, rights: number): void {
  if (!namesByDescriptor) {
    chmodSync(path, rights)
    return
  }
  const descriptor = openSync(path, openPath | constants.O_NOFOLLOW)
  try {
    const mode = fstatSync(descriptor).mode & permissionBits
    chmodSync(`/proc/self/fd/${descriptor}`, mode | rights)
  } finally {
    closeSync(descriptor)
  }
}
