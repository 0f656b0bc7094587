import { closeSync, lstatSync, mkdirSync, openSync, rmSync, utimesSync, writeSync } from 'node:fs'
import { join } from 'node:path'

import { assert } from '../../base/errors.ts'
import type { FilePath } from '../../base/paths.ts'
import type { WorkMember } from '../../pipelines/datum-worker.ts'
import type { Slot } from '../../pipelines/executor.ts'
import { contentSizeBytes, type Content, type Contents } from '../../storage/contents.ts'
import type { DirectoryEntry, FileTrees, TreeEntry } from '../../storage/file-trees.ts'
import { DatumFilesError, errorCode } from './datum-errors.ts'
import type { InputCache } from './input-cache.ts'
import { type LazyFile, makePipes } from './lazy-files.ts'
import type { Pacer } from './pacer.ts'

export const outputName = 'out'
/** File systems stamp changes by a clock that ticks at least this often. */
const tickMs = 11
const tickCountMin = 500

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
   * was changed before this is as it was written.
   */
  readonly writtenAt: bigint
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
  slot: Pick<Slot, 'pfsDirectory' | 'directories' | 'isInputReadOnly'>,
  members: readonly WorkMember[],
  formerOutput?: DirectoryEntry,
): Promise<WrittenInputs> {
  const { pfsDirectory } = slot
  const present = removeOthers(slot, wantedDirectories(members))
  const { inputCache: _, ...others } = ports
  const writer = new InputWriter(slot.isInputReadOnly ? ports : others)
  const lazyFiles: LazyFile[] = []
  const lister = new InputWriter(others, lazyFiles)
  for (const member of members) {
    const { input, path, entry } = member
    try {
      makeDirectories(pfsDirectory, directoriesOf(member), present)
      const target = `${pfsDirectory}/${input}${path}`
      await (member.isLazy === true ? lister : writer).write(target, entry)
    } catch (error) {
      throw asNameError(error, `/${input}${path}`)
    }
  }
  await makePipes(lazyFiles.map(({ path }) => path))
  makeDirectories(pfsDirectory, [`/${outputName}`], present)
  const out = join(pfsDirectory, outputName)
  // User code may change these.
  const copier = new InputWriter(others)
  if (formerOutput !== undefined) await copier.write(out, formerOutput)
  // Past the tick in which the last file was written, where that is little beside the writing.
  if (writer.count + copier.count >= tickCountMin) await ports.pacer.rest(tickMs)
  // Stamps it, whenever it was made.
  utimesSync(out, 0, 0)
  const { ctimeNs } = lstatSync(out, { bigint: true })
  return { downloadBytes: writer.bytes + copier.bytes, lazyFiles, writtenAt: ctimeNs }
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

class InputWriter {
  readonly #ports: InputFilesPorts
  readonly #lazyFiles: LazyFile[] | undefined
  bytes = 0
  count = 0

  /** With `lazyFiles`, files are put there instead of being written. */
  constructor(ports: InputFilesPorts, lazyFiles?: LazyFile[]) {
    this.#ports = ports
    this.#lazyFiles = lazyFiles
  }

  /** Writes `entry` at `target`: a directory there exists already. */
  async write(target: string, entry: TreeEntry): Promise<void> {
    const { trees, pacer } = this.#ports
    if (pacer.isDue) await pacer.rest()
    if (entry.kind === 'file') {
      if (this.#lazyFiles === undefined) await this.#writeFile(target, entry.content)
      else this.#lazyFiles.push({ path: target, content: entry.content })
      return
    }
    for await (const below of trees.list(entry, '' as FilePath)) {
      assert(isPlainName(below.name), 'a name in a tree is no path')
      const path = `${target}/${below.name}`
      if (below.entry.kind === 'directory') mkdirSync(path)
      await this.write(path, below.entry)
    }
  }

  async #writeFile(target: string, content: Content): Promise<void> {
    const { contents, inputCache } = this.#ports
    const isLinked =
      inputCache?.takes(content) === true &&
      (await inputCache.link(contents, content, target, (path) => this.#copy(path, content)))
    if (!isLinked) await this.#copy(target, content)
    this.count += 1
  }

  async #copy(target: string, content: Content): Promise<void> {
    const { contents, pacer } = this.#ports
    const descriptor = openSync(target, 'wx')
    try {
      if (content.kind === 'inline') writeWhole(descriptor, content.bytes)
      else {
        for await (const piece of contents.read(content, { lent: true })) {
          writeWhole(descriptor, piece)
          if (pacer.isDue) await pacer.rest()
        }
      }
    } finally {
      closeSync(descriptor)
    }
    this.bytes += contentSizeBytes(content)
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
