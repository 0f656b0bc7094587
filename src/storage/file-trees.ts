import type { Glob } from '../base/globs.ts'
import { Batched } from '../base/batched.ts'
import { concatBytes, utf8 } from '../base/bytes.ts'
import { type FilePath, rootPath } from '../base/paths.ts'
import type { Turns } from '../base/turns.ts'
import type { ChunkStore } from './chunks.ts'
import type { Content } from './contents.ts'
import { KeptNodes, NodeStore } from './prolly/node-store.ts'
import { Directories, emptyDirectory, type EntryEdit, entryEdit } from './trees/directories.ts'
import {
  diffFiles,
  diffShallow,
  entryHash,
  globDifferences,
  globTree,
  walkTree,
} from './trees/differences.ts'
import { TreeEditor, type TreeEditOptions } from './trees/edit.ts'
import { TreeMerger } from './trees/merge.ts'
import type {
  DirectoryEntry,
  NamedEntry,
  PathDifference,
  PathEntry,
  TreeConflict,
  TreeEdit,
  TreeEntry,
  TreeRoot,
} from './tree-entries.ts'
import { NoNodeError, NotADirectoryError } from './tree-errors.ts'

export type {
  DirectoryEntry,
  FileEntry,
  NamedEntry,
  PathDifference,
  PathEntry,
  TreeConflict,
  TreeEdit,
  TreeEntry,
  TreeRoot,
} from './tree-entries.ts'

export interface FileTreesOptions {
  /** Memory that decoded nodes may keep between calls. */
  readonly cacheBytesMax?: number
  /** Of the event loop that others share; without them, a walk over cached nodes keeps it to itself. */
  readonly turns?: Turns
}

export interface StopOptions {
  /** Ends a walk with a `CancelledError`, whether it has found anything or not. */
  readonly signal?: AbortSignal | undefined
}

export interface WalkOptions extends StopOptions {
  /** Where to begin; the root by default. A file is the only thing below itself. */
  readonly path?: FilePath
  /** Directories come, too, each right before what is in it, the first included. */
  readonly directories?: boolean
}

export interface DiffOptions extends StopOptions {
  /** What differs one level below, directories as such. */
  readonly shallow?: boolean
  /** Of a directory that only one side has, come its files, or itself alone: `files` by default. */
  readonly lone?: 'files' | 'whole'
}

export interface NamedFile {
  readonly name: string
  readonly content: Content
}

export interface TreeMergeResult {
  readonly root: DirectoryEntry
  /** At most 1,000, in tree order; in each, `root` has what ours had. */
  readonly conflicts: readonly TreeConflict[]
  readonly conflictCount: number
}

const cacheBytesMaxDefault = 32 * 1024 * 1024
const lowestByte = new Uint8Array(1)

/**
 * Immutable trees of files, as maps of maps of chunks. The same files and directories have the same
 * root whatever their history, and trees share what they have in common. Results come in tree order
 * (`pathKey`). Layout: `docs/formats/file-trees.md`.
 *
 * A root that is returned is stored as a chunk, and durable after the chunk store's `flush`. Reading
 * fails with `DataLossError` when a node is missing or damaged.
 */
export class FileTrees {
  readonly #store: NodeStore
  readonly #turns: Turns | undefined
  readonly #directories: Directories

  constructor(chunks: ChunkStore | NodeStore, options: FileTreesOptions = {}) {
    const { cacheBytesMax = cacheBytesMaxDefault, turns } = options
    this.#store =
      chunks instanceof NodeStore ? chunks : new NodeStore(chunks, new KeptNodes(cacheBytesMax))
    this.#turns = turns
    this.#directories = new Directories(this.#store, { turns, signal: this.#store.signal })
  }

  /**
   * The same trees, for work that ends with a `CancelledError` once `signal` has aborted, whatever it
   * is at: before each node that it reads or writes.
   */
  until(signal: AbortSignal): FileTrees {
    return new FileTrees(this.#store.until(signal), { ...(this.#turns && { turns: this.#turns }) })
  }

  /** The tree without files. */
  emptyRoot(): Promise<DirectoryEntry> {
    return this.asRoot(emptyDirectory)
  }

  /** The directory as a tree of its own: its root node is stored even if it is small. */
  asRoot(directory: DirectoryEntry): Promise<DirectoryEntry> {
    return this.#directories.asRoot(directory)
  }

  /**
   * The same directories, by their roots, with their root nodes: read together and not kept, for whoever looks at each
   * once. Holds all of the nodes, so the caller bounds their number.
   */
  async withNodes(
    directories: readonly DirectoryEntry[],
  ): Promise<ReadonlyMap<TreeRoot, DirectoryEntry>> {
    const byRoot = new Map(directories.map((directory) => [directory.root, directory]))
    const { chunks } = this.#store
    if (chunks.getMany === undefined) return byRoot
    const nodes = await chunks.getMany([...byRoot.keys()])
    for (const [index, directory] of [...byRoot.values()].entries()) {
      const inlineNode = nodes[index]
      if (inlineNode !== undefined) byRoot.set(directory.root, { ...directory, inlineNode })
    }
    return byRoot
  }

  /** 32 bytes: equal files have equal hashes, and so have equal directories. */
  entryHash(entry: TreeEntry): Uint8Array {
    return entryHash(entry)
  }

  /** What is at `path`; reads the nodes along the path only. */
  get(root: DirectoryEntry, path: FilePath): Promise<TreeEntry | undefined> {
    return this.#directories.find(root, path)
  }

  /** The last name of a directory in byte order; undefined when it is empty. Reads one node. */
  lastName(directory: DirectoryEntry): Promise<string | undefined> {
    return this.#directories.lastName(directory)
  }

  /** A directory of its own that holds files only, which come by name in byte order, each once. */
  async directoryOf(batches: AsyncIterable<readonly NamedFile[]>): Promise<DirectoryEntry> {
    const built = await this.#directories.edit(undefined, fileEdits(batches))
    return await this.asRoot(built ?? emptyDirectory)
  }

  /**
   * The entries of one directory in the byte order of their names, those behind `after`, or `from` one
   * on, only.
   *
   * @throws {NoNodeError} @throws {NotADirectoryError} at the first pull.
   */
  list(
    root: DirectoryEntry,
    path: FilePath,
    options: StopOptions & ({ readonly after?: string } | { readonly from?: string }) = {},
  ): Batched<NamedEntry> {
    return new Batched(this.#list(root, path, options))
  }

  async *#list(
    root: DirectoryEntry,
    path: FilePath,
    options: StopOptions & ({ readonly after?: string } | { readonly from?: string }),
  ): AsyncGenerator<readonly NamedEntry[]> {
    const found = await this.#directoryAt(root, path)
    yield* this.#directories.until(options.signal).entries(found, { from: firstKey(options) })
  }

  /** The names alone of what `list` gives. */
  names(root: DirectoryEntry, path: FilePath, options: StopOptions = {}): Batched<string> {
    return new Batched(this.#names(root, path, options))
  }

  async *#names(
    root: DirectoryEntry,
    path: FilePath,
    { signal }: StopOptions,
  ): AsyncGenerator<readonly string[]> {
    yield* this.#directories.until(signal).names(await this.#directoryAt(root, path))
  }

  async #directoryAt(root: DirectoryEntry, path: FilePath): Promise<DirectoryEntry> {
    const found = await this.get(root, path)
    if (found === undefined) throw new NoNodeError(path)
    if (found.kind === 'file') throw new NotADirectoryError(path)
    return found
  }

  /** How many names a directory has; reads one node. */
  nameCount(directory: DirectoryEntry): Promise<number> {
    return this.#directories.nameCount(directory)
  }

  /** All files, depth first; nothing if `path` is absent. */
  walk(root: DirectoryEntry, options: WalkOptions = {}): Batched<PathEntry> {
    return new Batched(this.#walk(root, options))
  }

  async *#walk(
    root: DirectoryEntry,
    { path = rootPath, directories = false, signal }: WalkOptions,
  ): AsyncGenerator<readonly PathEntry[]> {
    const entry = await this.get(root, path)
    if (entry === undefined) return
    yield* walkTree(this.#directories.until(signal), { path, entry }, { directories })
  }

  /** Files and directories that `glob` matches; descends only where it can match. */
  glob(root: DirectoryEntry, glob: Glob, { signal }: StopOptions = {}): Batched<PathEntry> {
    return new Batched(globTree(this.#directories.until(signal), root, glob))
  }

  /**
   * The files that differ at and below two entries, by their path from there (empty for the entries
   * themselves). Absent counts as empty. Equal subtrees are not read.
   */
  diff(
    before: TreeEntry | undefined,
    after: TreeEntry | undefined,
    options: DiffOptions = {},
  ): Batched<PathDifference> {
    const { shallow = false, lone = 'files', signal } = options
    const directories = this.#directories.until(signal)
    return new Batched(
      shallow
        ? diffShallow(directories, before, after)
        : diffFiles(directories, before, after, lone),
    )
  }

  /** Matches of `glob` that differ, directories whole; reads changed directories only. */
  globDiff(
    before: DirectoryEntry | undefined,
    after: DirectoryEntry | undefined,
    glob: Glob,
  ): Batched<PathDifference> {
    return new Batched(globDifferences(this.#directories, before, after, glob))
  }

  /**
   * Applies edits sorted by `pathKey`, in one pass. Edits of one path apply one on top of the other,
   * and those below it on top of these: to replace a directory by a file, remove it first. A
   * directory entry replaces whatever is there. Parents are made as needed; removing takes all that
   * is below, and does nothing where nothing is. The root itself may be removed or replaced.
   *
   * @throws {FileDirectoryConflictError} for a file onto a directory, or anything below a file.
   */
  async edit(
    root: DirectoryEntry,
    edits: Iterable<TreeEdit> | AsyncIterable<TreeEdit>,
    options: TreeEditOptions,
  ): Promise<DirectoryEntry> {
    await using editor = new TreeEditor(this.#directories, edits, options)
    return await this.asRoot(await editor.editRoot(root))
  }

  /**
   * Brings their changes since `base` into ours. Directories merge by name; a path that both changed
   * differently otherwise is a conflict, and keeps what ours has.
   */
  async merge(
    base: DirectoryEntry | undefined,
    ours: DirectoryEntry,
    theirs: DirectoryEntry,
    { signal }: StopOptions = {},
  ): Promise<TreeMergeResult> {
    const merger = new TreeMerger(this.#directories.until(signal))
    const root = await this.asRoot(await merger.merge(base, ours, theirs))
    return { root, conflicts: merger.conflicts, conflictCount: merger.conflictCount }
  }
}

function firstKey(options: { after?: string; from?: string }): Uint8Array | undefined {
  const { after, from } = options
  if (after !== undefined) return concatBytes([utf8(after), lowestByte])
  return from === undefined ? undefined : utf8(from)
}

async function* fileEdits(
  batches: AsyncIterable<readonly NamedFile[]>,
): AsyncGenerator<readonly EntryEdit[]> {
  for await (const batch of batches) {
    yield batch.map(({ name, content }) => entryEdit(utf8(name), { kind: 'file', content }))
  }
}
