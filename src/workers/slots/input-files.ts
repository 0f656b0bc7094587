import {
  closeSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmSync,
  utimesSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'

import { assert } from '../../base/errors.ts'
import type { FilePath } from '../../base/paths.ts'
import type { WorkMember } from '../../pipelines/datum-worker.ts'
import type { PlacedInputs, Slot } from '../../pipelines/executor.ts'
import { HeldTree } from '../../pipelines/held-directories.ts'
import { contentSizeBytes, type Content, type Contents } from '../../storage/contents.ts'
import type { DirectoryEntry, FileTrees, TreeEntry } from '../../storage/file-trees.ts'
import { changedError, DatumFilesError, errorCode, isOfChange } from './datum-errors.ts'
import type { InputCache } from './input-cache.ts'
import { type LazyFile, makePipes } from './lazy-files.ts'
import type { Pacer } from './pacer.ts'

export const outputName = 'out'
/** File systems stamp changes by a clock that ticks at least this often. */
const tickMs = 11
const tickCountMin = 500
/** To remove so many by their names takes no time to speak of. */
const placedCountMax = 64
/** What a spare file may take of the disk: the cache has none that are as small. */
const spareBytesMax = 64 * 1024

export interface InputFilesPorts {
  readonly trees: FileTrees
  readonly contents: Contents
  readonly pacer: Pacer
  readonly inputCache?: InputCache | undefined
}

export interface WrittenInputs {
  readonly downloadBytes: number
  /** They are named pipes for now. */
  readonly lazyFiles: readonly LazyFile[]
  /**
   * When `out` was stamped, last of all, by the file system's own clock, in nanoseconds: a file that
   * was changed before this is as it was written. Undefined where user code could change none of them.
   */
  readonly writtenAt: bigint | undefined
  /** Unless it is much. */
  readonly placed: PlacedInputs | undefined
}

/**
 * Writes the members of a datum into the slot's directory, each at `<input>/<its whole path>`, and
 * makes `out`, with what it held before. Other directories there go. The files are copies, but for
 * large ones of the cache, where user code cannot change them.
 *
 * @throws {DatumFilesError} for a name that the file system cannot hold.
 */
export async function writeInputs(
  ports: InputFilesPorts,
  slot: Pick<Slot, 'pfsDirectory' | 'directories' | 'isInputReadOnly' | 'spares'>,
  members: readonly WorkMember[],
  formerOutput?: DirectoryEntry,
): Promise<WrittenInputs> {
  const { pfsDirectory } = slot
  const present = removeOthers(slot, wantedDirectories(members))
  const { inputCache: _, ...others } = ports
  const { isInputReadOnly, spares } = slot
  const locate = (path: string): string => pfsDirectory + path
  const writer = new InputWriter(isInputReadOnly ? { ...ports, spares } : others, locate)
  const lazyFiles: LazyFile[] = []
  const lister = new InputWriter(others, locate, lazyFiles)
  for (const member of members) {
    const { input, path, entry } = member
    try {
      makeDirectories(pfsDirectory, directoriesOf(member), present)
      await (member.isLazy === true ? lister : writer).write(`/${input}${path}`, entry)
    } catch (error) {
      throw asNameError(error, `/${input}${path}`)
    }
  }
  await makePipes(lazyFiles.map(({ path }) => path))
  makeDirectories(pfsDirectory, [`/${outputName}`], present)
  const out = join(pfsDirectory, outputName)
  const copied = formerOutput === undefined ? noFiles : await copyFormer(others, out, formerOutput)
  // Past the tick in which the last file was written, where that is little beside the writing.
  if (writer.count + copied.count >= tickCountMin) await ports.pacer.rest(tickMs)
  const isOfInterest = !isInputReadOnly || formerOutput !== undefined
  return {
    downloadBytes: writer.bytes + copied.bytes,
    lazyFiles,
    // An `out` that nothing is done to can be seen not to have changed.
    writtenAt: isOfInterest ? stamp(out) : undefined,
    placed: placedIn(present, writer.written, lazyFiles),
  }
}

const noFiles = { count: 0, bytes: 0 } as const

/** User code may change these, and others may be at it already. */
async function copyFormer(
  ports: InputFilesPorts,
  out: string,
  formerOutput: DirectoryEntry,
): Promise<Readonly<Record<'count' | 'bytes', number>>> {
  using tree = new HeldTree(out)
  const copier = new InputWriter(ports, (path) => tree.pathOf(path.split('/').slice(1)))
  try {
    await copier.write('', formerOutput)
    return copier
  } catch (error) {
    throw isOfChange(error) ? changedError(`/pfs/${outputName}`, error) : error
  }
}

/** The time of the file system, whenever the directory was made. */
function stamp(directory: string): bigint {
  utimesSync(directory, 0, 0)
  return lstatSync(directory, { bigint: true }).ctimeNs
}

function placedIn(
  directories: ReadonlySet<string>,
  written: WrittenFiles | undefined,
  lazyFiles: readonly LazyFile[],
): PlacedInputs | undefined {
  if (written === undefined || lazyFiles.length > 0) return undefined
  return { copies: written.copies, otherFiles: written.others, directories }
}

/** What is there before any file: `out`, and the directories that hold the members. */
function wantedDirectories(members: readonly WorkMember[]): ReadonlySet<string> {
  return new Set([`/${outputName}`, ...members.flatMap(directoriesOf)])
}

/** Those on the way to a member, and itself when it is one: outer ones first. */
function directoriesOf({ input, path, entry }: WorkMember): readonly string[] {
  assert(isPlainName(input) && input !== outputName, 'an input has a name of its own')
  const whole = `/${input}${path}`
  const directories: string[] = []
  for (let at = whole.indexOf('/', 1); at >= 0; at = whole.indexOf('/', at + 1)) {
    directories.push(whole.slice(0, at))
  }
  if (entry.kind === 'directory') directories.push(whole)
  return directories
}

/** Removes directories that only an earlier datum had; returns those that stay. */
function removeOthers(
  { pfsDirectory, directories }: Pick<Slot, 'pfsDirectory' | 'directories'>,
  wanted: ReadonlySet<string>,
): Set<string> {
  const present = new Set<string>()
  for (const directory of directories) {
    if (wanted.has(directory)) present.add(directory)
    else rmSync(pfsDirectory + directory, { recursive: true, force: true })
  }
  return present
}

function makeDirectories(
  pfsDirectory: string,
  directories: readonly string[],
  present: Set<string>,
): void {
  for (const directory of directories) {
    if (present.has(directory)) continue
    mkdirSync(pfsDirectory + directory)
    present.add(directory)
  }
}

interface WrittenFiles {
  /** Small ones. */
  readonly copies: string[]
  readonly others: string[]
}

class InputWriter {
  readonly #ports: InputFilesPorts & Pick<Slot, 'spares'>
  readonly #locate: (path: string) => string
  readonly #lazyFiles: LazyFile[] | undefined
  bytes = 0
  count = 0
  #written: WrittenFiles | undefined = { copies: [], others: [] }

  /**
   * `locate` tells where what is to be at a path, which begins with a slash, is made, by one call at once. With
   * `lazyFiles`, files are put there instead of being written.
   */
  constructor(
    ports: InputFilesPorts & Pick<Slot, 'spares'>,
    locate: (path: string) => string,
    lazyFiles?: LazyFile[],
  ) {
    this.#ports = ports
    this.#locate = locate
    this.#lazyFiles = lazyFiles
  }

  /** The files, unless they are many, or directories were made for them. */
  get written(): WrittenFiles | undefined {
    return this.#written
  }

  /** Writes `entry` at `path`: a directory there exists already. */
  async write(path: string, entry: TreeEntry): Promise<void> {
    const { trees, pacer } = this.#ports
    if (pacer.isDue) await pacer.rest()
    if (entry.kind === 'file') {
      if (this.#lazyFiles === undefined) await this.#writeFile(path, entry.content)
      else this.#lazyFiles.push({ path: this.#locate(path), content: entry.content })
      return
    }
    for await (const below of trees.list(entry, '' as FilePath)) {
      assert(isPlainName(below.name), 'a name in a tree is no path')
      const pathBelow = `${path}/${below.name}`
      if (below.entry.kind === 'directory') {
        this.#written = undefined
        mkdirSync(this.#locate(pathBelow))
      }
      await this.write(pathBelow, below.entry)
    }
  }

  async #writeFile(path: string, content: Content): Promise<void> {
    const isSmall = contentSizeBytes(content) <= spareBytesMax
    if (!(await this.#link(path, content))) {
      const target = this.#locate(path)
      const spare = isSmall ? this.#ports.spares?.take(target) : undefined
      await this.#fill(spare ?? openSync(target, 'wx'), content)
    }
    this.count += 1
    this.#written?.[isSmall ? 'copies' : 'others'].push(path)
    if (this.count > placedCountMax) this.#written = undefined
  }

  async #link(path: string, content: Content): Promise<boolean> {
    const { contents, inputCache } = this.#ports
    if (inputCache?.takes(content) !== true) return false
    const copy = (into: string): Promise<void> => this.#fill(openSync(into, 'wx'), content)
    return await inputCache.link(contents, content, this.#locate(path), copy)
  }

  /** Gives the file this content, whatever it held, and closes it. */
  async #fill(descriptor: number, content: Content): Promise<void> {
    const { contents, pacer } = this.#ports
    const sizeBytes = contentSizeBytes(content)
    try {
      if (content.kind === 'inline') writeWhole(descriptor, content.bytes)
      else {
        for await (const piece of contents.read(content, { lent: true })) {
          writeWhole(descriptor, piece)
          if (pacer.isDue) await pacer.rest()
        }
      }
      if (fstatSync(descriptor).size > sizeBytes) ftruncateSync(descriptor, sizeBytes)
    } finally {
      closeSync(descriptor)
    }
    this.bytes += sizeBytes
  }
}

function writeWhole(descriptor: number, bytes: Uint8Array): void {
  let written = 0
  while (written < bytes.length) written += writeSync(descriptor, bytes, written)
}

/** A name that leads nowhere but to one entry of its directory. */
export function isPlainName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name)
}

function asNameError(error: unknown, path: string): unknown {
  if (errorCode(error) !== 'ENAMETOOLONG') return error
  return new DatumFilesError(
    `the input below ${path.slice(0, 200)} has a name that this host's file system cannot hold ` +
      '(more than 255 bytes)',
    { cause: error },
  )
}
