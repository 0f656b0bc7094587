import {
  type BigIntStats,
  chmodSync,
  closeSync,
  constants,
  lstatSync,
  openSync,
  read,
  readdirSync,
  readFileSync,
  statfsSync,
} from 'node:fs'
import { promisify } from 'node:util'

import { compareBytes } from '../../base/bytes.ts'
import { assert } from '../../base/errors.ts'
import { type FilePath, joinPath, rootPath } from '../../base/paths.ts'
import { exactSizeText, sizeText } from '../../base/sizes.ts'
import type { Content, Contents } from '../../storage/contents.ts'
import type { DirectoryEntry, FileTrees, TreeEdit } from '../../storage/file-trees.ts'
import { DatumFilesError, errorCode } from './datum-errors.ts'
import { inputEntry } from './input-entries.ts'
import { outputName } from './input-files.ts'
import type { OutputSource } from './output-source.ts'
import type { Pacer } from './pacer.ts'
import { followLink, hostPath, type PfsNode, shownPath } from './pfs-links.ts'

export interface OutputPorts {
  readonly trees: FileTrees
  readonly contents: Contents
  readonly pacer: Pacer
  /** What a datum's files may be long together; unset: as much as their disk has in all. */
  readonly outputBytesMax?: number | undefined
}

export interface OutputTree {
  readonly root: DirectoryEntry
  /** Bytes that were read and stored; inputs that are linked to are neither. */
  readonly uploadBytes: number
}

// Larger files are read in pieces of this size.
const pieceBytes = 1024 * 1024
const pathBytesMax = 4096
/** Every disk has room for this. */
const smallBytes = 64 * 1024 * 1024
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const readAsync = promisify(read)

/**
 * Stores what user code left in `/pfs/out`, when nothing of it runs any more. Symbolic links are
 * followed as the sandbox would. One to an input that is still as it was takes the input's entry,
 * without reading it, and so does a file that was there before and was not touched.
 *
 * @throws {DatumFilesError} for what no tree can hold: special files, links that lead out of `/pfs`,
 * names that are not UTF-8; and for more than may be stored.
 * @throws {CancelledError} when the pacer's work is.
 */
export async function storeOutput(ports: OutputPorts, source: OutputSource): Promise<OutputTree> {
  const reader = new OutputReader(ports, source)
  const empty = await ports.trees.emptyRoot()
  if (source.isEmpty === true || reader.isEmpty) return { root: empty, uploadBytes: 0 }
  const root = await ports.trees.edit(empty, reader.edits(empty), { emptied: 'keep' })
  return { root, uploadBytes: reader.bytes }
}

/** A directory that is being read, and those around it, to notice links that lead back. */
interface Ancestors {
  readonly path: string
  readonly above: Ancestors | undefined
}

class OutputReader {
  readonly #ports: OutputPorts
  readonly #source: OutputSource
  bytes = 0
  /** With what is still to be read of the file at hand. */
  #fileBytes = 0n

  constructor(ports: OutputPorts, source: OutputSource) {
    this.#ports = ports
    this.#source = source
  }

  /** Whether `/pfs/out` has nothing in it. */
  get isEmpty(): boolean {
    this.#requireDirectory()
    return this.#namesIn([outputName]).length === 0
  }

  /** Everything in `/pfs/out`, in the order of `pathKey`. */
  async *edits(emptyDirectory: DirectoryEntry): AsyncGenerator<TreeEdit> {
    const node = { names: [outputName], stats: this.#requireDirectory() }
    for await (const edit of this.#directory(node, rootPath, undefined)) {
      yield edit.entry === undefined ? { path: edit.path, entry: emptyDirectory } : edit
    }
  }

  #requireDirectory(): BigIntStats {
    const out = [outputName]
    const stats = lstatSync(hostPath(this.#source, out), { bigint: true, throwIfNoEntry: false })
    if (stats?.isDirectory() === true) return stats
    throw new DatumFilesError(`${shownPath(this.#source, out)} is no directory any more`)
  }

  /** The entries below `path`; one without an entry for a directory that is empty. */
  async *#directory(
    node: PfsNode,
    path: FilePath,
    above: Ancestors | undefined,
  ): AsyncGenerator<TreeEdit> {
    const ancestors = this.#enter(node, above)
    const names = this.#namesIn(node.names)
    if (names.length === 0 && path !== rootPath) yield { path, entry: undefined }
    for (const name of names) {
      if (this.#ports.pacer.isDue) {
        await this.#ports.pacer.rest()
      }
      yield* this.#node([...node.names, name], this.#pathBelow(path, name), ancestors)
    }
  }

  #enter(node: PfsNode, above: Ancestors | undefined): Ancestors {
    const path = node.names.join('/')
    for (let other = above; other !== undefined; other = other.above) {
      if (other.path === path) {
        throw new DatumFilesError(
          `a symbolic link leads back to ${shownPath(this.#source, node.names)}, which it is in`,
        )
      }
    }
    return { path, above }
  }

  async *#node(
    names: readonly string[],
    path: FilePath,
    ancestors: Ancestors,
  ): AsyncGenerator<TreeEdit> {
    const stats = this.#statsOf(names)
    const node = stats.isSymbolicLink() ? followLink(this.#source, names) : { names, stats }
    // A directory in `out` is gone through, whatever it held.
    if (node.names[0] !== outputName || node.stats.isFile()) {
      const entry = await inputEntry(this.#ports, this.#source, node)
      if (entry !== undefined) {
        yield { path, entry }
        return
      }
    }
    if (node.stats.isDirectory()) yield* this.#directory(node, path, ancestors)
    else if (node.stats.isFile()) {
      yield { path, entry: { kind: 'file', content: await this.#store(node) } }
    } else {
      throw new DatumFilesError(
        `${shownPath(this.#source, names)} is a special file (${specialKind(node.stats)}): ` +
          'only files, directories and symbolic links can be output',
      )
    }
  }

  #statsOf(names: readonly string[]): BigIntStats {
    try {
      return lstatSync(hostPath(this.#source, names), { bigint: true })
    } catch (error) {
      if (errorCode(error) !== 'ENAMETOOLONG') throw error
      const shown = shownPath(this.#source, names).slice(0, 100)
      throw new DatumFilesError(`an output path is longer than this host can read: ${shown}…`, {
        cause: error,
      })
    }
  }

  #pathBelow(path: FilePath, name: string): FilePath {
    const below = joinPath(path, name)
    // In UTF-16 units first: they are at most as many as the bytes.
    if (below.length > pathBytesMax / 3 && Buffer.byteLength(below) > pathBytesMax) {
      throw new DatumFilesError(
        `an output path has more than ${pathBytesMax} bytes: ${below.slice(0, 100)}…`,
      )
    }
    return below
  }

  /** The names in a directory, in the order of their bytes. */
  #namesIn(names: readonly string[]): readonly string[] {
    const path = hostPath(this.#source, names)
    const list = (): Buffer[] => readdirSync(path, { encoding: 'buffer' })
    return readable(path, 0o700, list)
      .toSorted(compareBytes)
      .map((bytes) => {
        try {
          return strictDecoder.decode(bytes)
        } catch (error) {
          throw new DatumFilesError(
            `a name in ${shownPath(this.#source, names)} is not UTF-8: ` +
              JSON.stringify(bytes.toString('latin1')),
            { cause: error },
          )
        }
      })
  }

  /**
   * A file's length is free to choose: one that is all hole takes no disk, and as long to read as any other.
   *
   * @throws {DatumFilesError} when there is more than may be.
   */
  #requireRoom({ names, stats }: PfsNode): void {
    this.#fileBytes += stats.size
    const { outputBytesMax } = this.#ports
    if (outputBytesMax === undefined && this.#fileBytes <= smallBytes) return
    const bytesMax = outputBytesMax ?? diskBytes(this.#source.pfsDirectory)
    if (this.#fileBytes <= bytesMax) return
    const bound =
      outputBytesMax === undefined
        ? `its disk has ${sizeText(bytesMax)}`
        : `its bound is ${exactSizeText(bytesMax)}`
    throw new DatumFilesError(
      `the output is too long to be stored: with ${shownPath(this.#source, names)} its files are ` +
        `${sizeText(Number(this.#fileBytes))} long, holes in them included, and ${bound}`,
    )
  }

  async #store(node: PfsNode): Promise<Content> {
    this.#requireRoom(node)
    const { names, stats } = node
    const path = hostPath(this.#source, names)
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW
    const descriptor = readable(path, 0o600, () => openSync(path, flags))
    try {
      if (stats.size <= pieceBytes) {
        const bytes = readFileSync(descriptor)
        this.bytes += bytes.length
        return await this.#ports.contents.writeBytes(bytes)
      }
      return await this.#ports.contents.write(this.#pieces(descriptor))
    } finally {
      closeSync(descriptor)
    }
  }

  async *#pieces(descriptor: number): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#ports.pacer.isDue) await this.#ports.pacer.rest()
      const buffer = Buffer.allocUnsafeSlow(pieceBytes)
      const { bytesRead } = await readAsync(descriptor, buffer, 0, pieceBytes, null)
      if (bytesRead === 0) return
      this.bytes += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  }
}

function diskBytes(path: string): number {
  const { blocks, bsize } = statfsSync(path)
  return blocks * bsize
}

/** Runs a file call; where user code took the right to it away, with the right given back. */
function readable<Result>(path: string, mode: number, call: () => Result): Result {
  try {
    return call()
  } catch (error) {
    if (errorCode(error) !== 'EACCES') throw error
    chmodSync(path, mode)
    return call()
  }
}

function specialKind(stats: BigIntStats): string {
  if (stats.isFIFO()) return 'a named pipe'
  if (stats.isSocket()) return 'a socket'
  assert(stats.isCharacterDevice() || stats.isBlockDevice(), 'every kind of file is known')
  return 'a device'
}
