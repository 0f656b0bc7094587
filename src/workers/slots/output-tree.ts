import { closeSync, type Dirent, fstatSync, lstatSync, read, readSync, statfsSync } from 'node:fs'
import { promisify } from 'node:util'
import { getHeapStatistics } from 'node:v8'

import { compareBytes } from '../../base/bytes.ts'
import { assert } from '../../base/errors.ts'
import { type FilePath, joinPath, rootPath } from '../../base/paths.ts'
import { groupedText } from '../../base/counts.ts'
import { exactSizeText, sizeText } from '../../base/sizes.ts'
import { mergedRuns } from '../../base/sorted-runs.ts'
import { HeldTree, openHeldFile } from '../../pipelines/held-directories.ts'
import type { Content, Contents } from '../../storage/contents.ts'
import type { DirectoryEntry, FileTrees, TreeEdit, TreeEntry } from '../../storage/file-trees.ts'
import { changedError, DatumFilesError, errorCode, isOfChange } from './datum-errors.ts'
import { inputEntry, listedCount } from './input-entries.ts'
import { outputName } from './input-files.ts'
import type { OutputSource } from './output-source.ts'
import type { Pacer } from './pacer.ts'
import { followLink, type PfsNode, shownPath } from './pfs-links.ts'

export interface OutputPorts {
  readonly trees: FileTrees
  readonly contents: Contents
  readonly pacer: Pacer
  /** What a datum's files may be long together; unset: as much as their disk has in all. */
  readonly outputBytesMax?: number | undefined
  /** Entries of a directory, and of those that it is in, that may be held in memory; unset: as many as the heap bears. */
  readonly heldEntriesMax?: number
}

export interface OutputTree {
  readonly root: DirectoryEntry
  /** Bytes that were read and stored; inputs that are linked to are neither. */
  readonly uploadBytes: number
}

// Larger files are read in pieces of this size.
const pieceBytes = 1024 * 1024
const pathBytesMax = 4096
/** Of the heap, for each entry that is held: four times what it takes, since other datums have theirs. */
const heapBytesPerEntry = 2048
/** Every disk has room for this. */
const smallBytes = 64 * 1024 * 1024
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const readAsync = promisify(read)

/** What is known of files in a directory, or at the end of a link. */
type FileKind = Pick<
  Dirent,
  'isFile' | 'isDirectory' | 'isFIFO' | 'isSocket' | 'isCharacterDevice' | 'isBlockDevice'
>

/**
 * Stores what user code left in `/pfs/out`, when nothing of it should run any more: where something does, nothing
 * is read but what is there, once. Symbolic links are followed as the sandbox would. One to an input that is still as it was takes the input's entry,
 * without reading it, and so does a file that was there before and was not touched.
 *
 * @throws {DatumFilesError} for what no tree can hold: special files, links that lead out of `/pfs`,
 * names that are not UTF-8; for more than may be stored; and for what changes meanwhile.
 * @throws {CancelledError} when the pacer's work is.
 */
export async function storeOutput(ports: OutputPorts, source: OutputSource): Promise<OutputTree> {
  const empty = await ports.trees.emptyRoot()
  if (source.isEmpty === true) return { root: empty, uploadBytes: 0 }
  using reader = new OutputReader(ports, source)
  if (reader.isEmpty) return { root: empty, uploadBytes: 0 }
  const root = await ports.trees.edit(empty, reader.edits(empty), { emptied: 'keep' })
  return { root, uploadBytes: reader.bytes }
}

/** A directory that is being read. */
interface OpenDirectory {
  readonly names: readonly string[]
  readonly path: FilePath
  readonly isEmpty: boolean
  readonly entryCount: number
  /** What is still to be read of it, in the order of the names' bytes. */
  readonly entries: Iterator<Dirent<Buffer>, undefined>
}

const outNames = [outputName] as const

class OutputReader implements Disposable {
  readonly #ports: OutputPorts
  readonly #source: OutputSource
  readonly #tree: HeldTree
  /** Or so many of them that there may be more. */
  readonly #topEntries: readonly Dirent<Buffer>[]
  readonly #heldEntriesMax: number
  /** Of the directories that are open. */
  #heldEntryCount = 0
  bytes = 0
  /** With what is still to be read of the file at hand. */
  #fileBytes = 0n

  constructor(ports: OutputPorts, source: OutputSource) {
    this.#ports = ports
    this.#source = source
    this.#heldEntriesMax =
      ports.heldEntriesMax ?? Math.floor(getHeapStatistics().heap_size_limit / heapBytesPerEntry)
    using opened = new DisposableStack()
    this.#tree = opened.use(new HeldTree(source.pfsDirectory))
    try {
      this.#topEntries = this.#tree.directory(outNames).entries(listedCount)
    } catch (error) {
      if (!isOfChange(error)) throw error
      const shown = shownPath(source, outNames)
      throw new DatumFilesError(`${shown} is no directory any more`, { cause: error })
    }
    opened.move()
  }

  /** Whether `/pfs/out` has nothing in it. */
  get isEmpty(): boolean {
    return this.#topEntries.length === 0
  }

  /** Everything in `/pfs/out`, in the order of `pathKey`. */
  async *edits(emptyDirectory: DirectoryEntry): AsyncGenerator<TreeEdit> {
    // Those that the last one is in, too: calls within calls would not do for as many as paths may name.
    const open = [await this.#open(outNames, rootPath)]
    for (let last = open.at(-1); last !== undefined; last = open.at(-1)) {
      if (this.#ports.pacer.isDue) await this.#ports.pacer.rest()
      const { done, value: kind } = last.entries.next()
      if (done === true) {
        open.pop()
        this.#heldEntryCount -= last.entryCount
        continue
      }
      const name = this.#nameOf(last.names, kind)
      const path = this.#pathBelow(last.path, name)
      const found = await this.#entryAt([...last.names, name], kind)
      if (found.kind !== 'open') {
        yield { path, entry: found }
        continue
      }
      const { names } = found
      this.#requireOther(names, open)
      const below = await this.#open(names, path)
      if (below.isEmpty) yield { path, entry: emptyDirectory }
      else open.push(below)
    }
  }

  [Symbol.dispose](): void {
    this.#tree[Symbol.dispose]()
  }

  /** Else a symbolic link leads back to one of them. */
  #requireOther(names: readonly string[], open: readonly OpenDirectory[]): void {
    const path = names.join('/')
    const isSame = (other: OpenDirectory): boolean =>
      other.names.length === names.length && other.names.join('/') === path
    if (!open.some(isSame)) return
    throw new DatumFilesError(
      `a symbolic link leads back to ${shownPath(this.#source, names)}, which it is in`,
    )
  }

  /** What is there, or where the directory is that must be read for it. */
  async #entryAt(
    names: readonly string[],
    found: Dirent<Buffer>,
  ): Promise<TreeEntry | { readonly kind: 'open'; readonly names: readonly string[] }> {
    const isLink = found.isSymbolicLink()
    // Of what stands for nothing that was there before, it is enough to know what it is.
    const mayBeKnown =
      isLink ||
      names[0] !== outputName ||
      (this.#source.formerOutput !== undefined && found.isFile())
    const node = mayBeKnown ? await this.#nodeAt(names, isLink) : undefined
    const known = node === undefined ? undefined : await this.#knownEntry(node)
    if (known !== undefined) return known
    const at = node?.names ?? names
    const kind: FileKind = node?.stats ?? found
    if (kind.isDirectory()) return { kind: 'open', names: at }
    if (kind.isFile()) return { kind: 'file', content: await this.#store(at) }
    throw new DatumFilesError(
      `${shownPath(this.#source, names)} is a special file (${specialKind(kind)}): ` +
        'only files, directories and symbolic links can be output',
    )
  }

  async #nodeAt(names: readonly string[], isLink: boolean): Promise<PfsNode> {
    try {
      return isLink
        ? await followLink(this.#source, this.#tree, names, this.#ports.pacer)
        : { names, stats: lstatSync(this.#tree.pathOf(names), { bigint: true }) }
    } catch (error) {
      throw this.#asChanged(names, error)
    }
  }

  async #knownEntry(node: PfsNode): Promise<TreeEntry | undefined> {
    // A directory in `out` is gone through, whatever it held.
    if (node.names[0] === outputName && !node.stats.isFile()) return undefined
    try {
      return await inputEntry(this.#ports, this.#source, this.#tree, node)
    } catch (error) {
      throw this.#asChanged(node.names, error)
    }
  }

  #held<Result>(names: readonly string[], call: () => Result): Result {
    try {
      return call()
    } catch (error) {
      throw this.#asChanged(names, error)
    }
  }

  #asChanged(names: readonly string[], error: unknown): unknown {
    const shown = shownPath(this.#source, names)
    if (isOfChange(error)) return changedError(shown, error)
    if (errorCode(error) !== 'ENAMETOOLONG') return error
    const [start, cause] = [shown.slice(0, 100), { cause: error }]
    return new DatumFilesError(`an output path is longer than this host can read: ${start}…`, cause)
  }

  async #open(names: readonly string[], path: FilePath): Promise<OpenDirectory> {
    const isKnown = path === rootPath && this.#topEntries.length < listedCount
    const runs = isKnown ? [this.#topEntries.toSorted(byName)] : await this.#listed(names)
    const entryCount = runs.reduce((sum, run) => sum + run.length, 0)
    this.#hold(names, entryCount)
    const entries = mergedRuns(runs, byName)
    return { names, path, isEmpty: runs.length === 0, entryCount, entries }
  }

  #hold(names: readonly string[], entryCount: number): void {
    this.#heldEntryCount += entryCount
    this.#requireFew(names, 0)
  }

  #requireFew(names: readonly string[], moreCount: number): void {
    if (this.#heldEntryCount + moreCount <= this.#heldEntriesMax) return
    throw new DatumFilesError(
      `${shownPath(this.#source, names)} has, with the directories that it is in, more than ` +
        `${groupedText(this.#heldEntriesMax)} entries, which is more than the memory of pachd bears: ` +
        'write to more directories, side by side',
    )
  }

  /** In pieces, each of which is in order. */
  async #listed(names: readonly string[]): Promise<readonly (readonly Dirent<Buffer>[])[]> {
    const pieces: (readonly Dirent<Buffer>[])[] = []
    let count = 0
    try {
      for (const piece of this.#tree.directory(names).pieces(listedCount)) {
        count += piece.length
        this.#requireFew(names, count)
        if (piece.length > 0) pieces.push(piece.toSorted(byName))
        if (this.#ports.pacer.isDue) await this.#ports.pacer.rest()
      }
    } catch (error) {
      throw this.#asChanged(names, error)
    }
    return pieces
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

  #nameOf(names: readonly string[], { name }: Dirent<Buffer>): string {
    try {
      return strictDecoder.decode(name)
    } catch (error) {
      throw new DatumFilesError(
        `a name in ${shownPath(this.#source, names)} is not UTF-8: ` +
          JSON.stringify(name.toString('latin1')),
        { cause: error },
      )
    }
  }

  /**
   * A file's length is free to choose: one that is all hole takes no disk, and as long to read as any other.
   *
   * @throws {DatumFilesError} when there is more than may be.
   */
  #requireRoom(names: readonly string[], sizeBytes: bigint): void {
    this.#fileBytes += sizeBytes
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

  async #store(names: readonly string[]): Promise<Content> {
    const path = this.#held(names, () => this.#tree.pathOf(names))
    const descriptor = this.#held(names, () => openHeldFile(path))
    try {
      const before = fstatSync(descriptor, { bigint: true })
      // Whoever looks in the directory is told of a file, and opens something else.
      if (!before.isFile()) throw changedError(shownPath(this.#source, names))
      this.#requireRoom(names, before.size)
      const sizeBytes = Number(before.size)
      const requireSame = (): void => {
        const { size, ctimeNs } = fstatSync(descriptor, { bigint: true })
        if (size === before.size && ctimeNs === before.ctimeNs) return
        throw changedError(shownPath(this.#source, names))
      }
      if (sizeBytes > pieceBytes) {
        const content = await this.#ports.contents.write(this.#pieces(descriptor, sizeBytes))
        requireSame()
        return content
      }
      const bytes = wholeBytes(descriptor, sizeBytes)
      requireSame()
      this.bytes += bytes.length
      return await this.#ports.contents.writeBytes(bytes)
    } finally {
      closeSync(descriptor)
    }
  }

  /** So many bytes, or fewer of a file that was cut meanwhile. */
  async *#pieces(descriptor: number, sizeBytes: number): AsyncGenerator<Uint8Array> {
    for (let leftBytes = sizeBytes; leftBytes > 0;) {
      if (this.#ports.pacer.isDue) await this.#ports.pacer.rest()
      const length = Math.min(pieceBytes, leftBytes)
      const buffer = Buffer.allocUnsafeSlow(length)
      const { bytesRead } = await readAsync(descriptor, buffer, 0, length, null)
      if (bytesRead === 0) return
      this.bytes += bytesRead
      leftBytes -= bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  }
}

function byName(left: Dirent<Buffer>, right: Dirent<Buffer>): number {
  return compareBytes(left.name, right.name)
}

/** So many bytes, or fewer of a file that was cut meanwhile. */
function wholeBytes(descriptor: number, sizeBytes: number): Uint8Array {
  const buffer = Buffer.allocUnsafe(sizeBytes)
  let length = 0
  while (length < sizeBytes) {
    const bytesRead = readSync(descriptor, buffer, length, sizeBytes - length, null)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return buffer.subarray(0, length)
}

function diskBytes(path: string): number {
  const { blocks, bsize } = statfsSync(path)
  return blocks * bsize
}

function specialKind(kind: FileKind): string {
  if (kind.isFIFO()) return 'a named pipe'
  if (kind.isSocket()) return 'a socket'
  assert(kind.isCharacterDevice() || kind.isBlockDevice(), 'every kind of file is known')
  return 'a device'
}
