import { Batched } from '../base/batched.ts'
import type { ByteStream } from '../base/bytes.ts'
import { parseGlob } from '../base/globs.ts'
import { type FilePath, joinPath, parseFilePath, rootPath } from '../base/paths.ts'
import {
  type Content,
  type ContentChunk,
  type Contents,
  contentSizeBytes,
  type ReadingOptions,
} from '../storage/contents.ts'
import type { DirectoryEntry, TreeEntry } from '../storage/file-trees.ts'
import type { Lease, Leases } from '../storage/leases.ts'
import {
  type CommitInfo,
  type CommitSummary,
  type CommitTree,
  getCommit,
  treeEntry,
} from './commit-records.ts'
import { FileNotFoundError, IsADirectoryError } from './errors.ts'
import type { VersioningPorts } from './ports.ts'
import { type Selection, selectEntries, withContents } from './reading/download.ts'
import { pathHistory } from './reading/path-history.ts'
import { checkCancelled } from './records/cancellation.ts'
import type { OpenTrees } from './staging/open-trees.ts'

export type { Selection } from './reading/download.ts'

/** A file or directory of a commit. */
export interface FileInfo {
  readonly path: FilePath
  readonly entry: TreeEntry
  /** 32 bytes; equal contents, equal hashes. */
  readonly hash: Uint8Array
  readonly sizeBytes: number
}

export interface GlobOptions {
  readonly repo: string
  readonly commit: string
  readonly pattern: string
}

/** What is compared, as in `Files.diff`. */
export interface DiffOptions {
  readonly after: FileName
  readonly before?: FileName | undefined
  readonly shallow: boolean
}

/** A path, relative to the two that are compared (empty for these themselves), that differs. */
export interface FileDifference {
  readonly path: FilePath
  /** Its path is the whole one, in its own commit. */
  readonly before: FileInfo | undefined
  readonly after: FileInfo | undefined
}

/** What a commit did to a path, compared with its parent. */
export interface FileChange {
  readonly kind: 'added' | 'changed' | 'removed'
  readonly commit: CommitSummary
  /** Undefined when it was removed. */
  readonly after: FileInfo | undefined
}

/** A file with its content, whole when it is small; or a directory. */
export interface DownloadedEntry {
  readonly info: FileInfo
  /** Undefined for a directory, and where no contents were asked for. */
  readonly content: Uint8Array | ByteStream | undefined
}

/** Where to read: `commit` is as in `resolveCommitId`, `path` any text that names a path. */
export interface FileName {
  readonly repo: string
  readonly commit: string
  readonly path: string
}

/**
 * Reads commits, finished and open. An open commit shows everything that was staged before the
 * call; staged files that conflict are left out until the conflict is repaired.
 */
export class Files {
  readonly #ports: VersioningPorts
  readonly #openTrees: OpenTrees

  constructor(ports: VersioningPorts, openTrees: OpenTrees) {
    this.#ports = ports
    this.#openTrees = openTrees
  }

  /** The tree of a commit as it is now. The root of an open commit's tree is a stored chunk, too. */
  async tree(
    repo: string,
    commit: string,
    signal?: AbortSignal,
  ): Promise<{ readonly commit: CommitInfo; readonly tree: CommitTree }> {
    using lease = this.#ports.leases.beginReading()
    return await this.snapshot({ repo, commit, lease, signal })
  }

  /** The tree to read from, which stays what it is while `lease` lives. */
  async snapshot(read: {
    readonly repo: string
    readonly commit: string
    readonly lease: Lease
    readonly signal: AbortSignal | undefined
  }): Promise<Snapshot> {
    const { repo, lease, signal } = read
    for (;;) {
      checkCancelled(signal)
      const commit = await lease.acquire(async () => {
        const found = await this.#ports.database.read((tx) => getCommit(tx, repo, read.commit))
        if (found.state.kind === 'finished') {
          lease.hold({ kind: 'tree', root: found.state.tree.root })
        }
        return found
      })
      if (commit.state.kind === 'finished') {
        return { commit, tree: treeEntry(commit.state.tree), sequence: undefined }
      }
      const open = await this.#openTrees.current(commit.id, lease, signal)
      if (open !== undefined) return { commit, tree: open.tree, sequence: open.sequence }
      // It was finished or deleted meanwhile: look again.
    }
  }

  /** @throws {FileNotFoundError} */
  async inspect(file: FileName, signal?: AbortSignal): Promise<FileInfo> {
    const path = parseFilePath(file.path)
    using lease = this.#ports.leases.beginReading()
    const { commit, tree } = await this.snapshot({ ...file, lease, signal })
    const entry = await this.#ports.trees.get(tree, path)
    if (entry === undefined) throw notFound(commit, path)
    return this.#info(path, entry)
  }

  /**
   * Bytes from `offset`, at most `length` (0 or absent: to the end). Looks the file up before it
   * resolves; opens nothing until the first pull.
   *
   * @throws {FileNotFoundError}
   * @throws {IsADirectoryError}
   */
  async read(
    file: FileName,
    options: BytesOptions = {},
  ): Promise<{ readonly info: FileInfo; readonly bytes: ByteStream }> {
    const info = await this.inspect(file, options.signal)
    return { info, bytes: this.bytesOf(info, options) }
  }

  /**
   * As `read`, of a file that was looked up just now.
   *
   * @throws {IsADirectoryError}
   */
  bytesOf({ path, entry }: FileInfo, options: BytesOptions = {}): ByteStream {
    const { offset = 0, length = 0, lent = false, signal } = options
    if (entry.kind === 'directory') throw new IsADirectoryError(path)
    const range = length === 0 ? { offset, lent } : { offset, length, lent }
    return cancellable(heldBytes(this.#ports, entry.content, range), signal)
  }

  /**
   * Many files with their contents, in tree order; each stream is to be read before the next entry is
   * taken. Holds some 8 MiB, whatever is read.
   *
   * @throws {FileNotFoundError} when it comes to a path that is not there.
   */
  async *download(
    request: {
      readonly repo: string
      readonly commit: string
      readonly selection: Selection
      readonly contents: boolean
    },
    signal?: AbortSignal,
  ): AsyncGenerator<DownloadedEntry> {
    const { selection } = request
    using lease = this.#ports.leases.beginReading()
    const { commit, tree } = await this.snapshot({ ...request, lease, signal })
    const entries = selectEntries(this.#ports.trees, tree, { selection, signal }, (path) =>
      notFound(commit, path as FilePath),
    )
    if (request.contents) {
      for await (const { found, content } of withContents(this.#ports.contents, entries, signal)) {
        yield { info: this.#info(found.path, found.entry), content }
      }
      return
    }
    for await (const { path, entry } of entries) {
      checkCancelled(signal)
      yield { info: this.#info(path, entry), content: undefined }
    }
  }

  /**
   * What a file is made of: chunks that, joined, are its bytes.
   *
   * @throws {FileNotFoundError} @throws {IsADirectoryError}
   */
  async *chunks(file: FileName, signal?: AbortSignal): AsyncGenerator<ContentChunk> {
    const path = parseFilePath(file.path)
    using lease = this.#ports.leases.beginReading()
    const { commit, tree } = await this.snapshot({ ...file, lease, signal })
    const entry = await this.#ports.trees.get(tree, path)
    if (entry === undefined) throw notFound(commit, path)
    yield* this.chunksOf(this.#info(path, entry), signal)
  }

  /** As `chunks`, of a file that was looked up just now. @throws {IsADirectoryError} */
  async *chunksOf({ path, entry }: FileInfo, signal?: AbortSignal): AsyncGenerator<ContentChunk> {
    if (entry.kind === 'directory') throw new IsADirectoryError(path)
    using lease = this.#ports.leases.beginReading()
    lease.hold({ kind: 'content', content: entry.content })
    for await (const chunk of this.#ports.contents.chunks(entry.content)) {
      checkCancelled(signal)
      yield chunk
    }
  }

  /**
   * What a directory holds, by name in byte order.
   *
   * @throws {NoNodeError}
   * @throws {NotADirectoryError}
   */
  list(file: FileName, signal?: AbortSignal): Batched<FileInfo> {
    return new Batched(this.#list(file, signal))
  }

  async *#list(
    file: FileName,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<readonly FileInfo[]> {
    const path = parseFilePath(file.path)
    using lease = this.#ports.leases.beginReading()
    const { tree } = await this.snapshot({ ...file, lease, signal })
    for await (const entries of this.#ports.trees.list(tree, path, { signal }).batches) {
      yield entries.map(({ name, entry }) => this.#info(joinPath(path, name), entry))
    }
  }

  /** The names alone of what `list` gives. */
  names(file: FileName, signal?: AbortSignal): Batched<string> {
    return new Batched(this.#names(file, signal))
  }

  async *#names(
    file: FileName,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<readonly string[]> {
    const path = parseFilePath(file.path)
    using lease = this.#ports.leases.beginReading()
    const { tree } = await this.snapshot({ ...file, lease, signal })
    yield* this.#ports.trees.names(tree, path, { signal }).batches
  }

  /**
   * Every file and directory below `path` and itself, in path order.
   *
   * @throws {FileNotFoundError}
   */
  async *walk(file: FileName, signal?: AbortSignal): AsyncGenerator<FileInfo> {
    const path = parseFilePath(file.path)
    using lease = this.#ports.leases.beginReading()
    const { commit, tree } = await this.snapshot({ ...file, lease, signal })
    let empty = true
    for await (const info of this.#walk(tree, path, signal)) {
      empty = false
      yield info
    }
    if (empty) throw notFound(commit, path)
  }

  /** As `walk` from the root, of a tree that may be no commit's yet: a lease of the caller's keeps it. */
  async *walkTree(tree: CommitTree, signal?: AbortSignal): AsyncGenerator<FileInfo> {
    yield* this.#walk(treeEntry(tree), rootPath, signal)
  }

  /** The files of `after` that `before` does not have, or has otherwise; leases of the caller's keep both. */
  async *newFiles(
    before: CommitTree,
    after: CommitTree,
    signal?: AbortSignal,
  ): AsyncGenerator<FileInfo> {
    const trees = [treeEntry(before), treeEntry(after)] as const
    for await (const found of this.#ports.trees.diff(...trees, { signal })) {
      if (found.after !== undefined) yield this.#info(found.path, found.after)
    }
  }

  async *#walk(
    tree: DirectoryEntry,
    path: FilePath,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<FileInfo> {
    for await (const found of this.#ports.trees.walk(tree, { path, directories: true, signal })) {
      yield this.#info(found.path, found.entry)
    }
  }

  /** What matches, in path order. @throws {InvalidArgumentError} for a malformed pattern. */
  glob(options: GlobOptions, signal?: AbortSignal): Batched<FileInfo> {
    return new Batched(this.#glob(options, signal))
  }

  async *#glob(
    options: GlobOptions,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<readonly FileInfo[]> {
    const glob = parseGlob(options.pattern)
    using lease = this.#ports.leases.beginReading()
    const { tree } = await this.snapshot({ ...options, lease, signal })
    for await (const found of this.#ports.trees.glob(tree, glob, { signal }).batches) {
      yield found.map(({ path, entry }) => this.#info(path, entry))
    }
  }

  /**
   * What differs between two paths; `before` absent: the same path in the parent commit, or
   * nothing without one. Deep: files only. Shallow: one level, directories as such. A path that is
   * missing counts as empty.
   */
  diff(options: DiffOptions, signal?: AbortSignal): Batched<FileDifference> {
    return new Batched(this.#diff(options, signal))
  }

  async *#diff(
    options: DiffOptions,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<readonly FileDifference[]> {
    using lease = this.#ports.leases.beginReading()
    const { after, before } = await this.sides(options, lease, signal)
    const how = { shallow: options.shallow, signal }
    for await (const found of this.#ports.trees.diff(before?.entry, after.entry, how).batches) {
      yield found.map((difference) => ({
        path: difference.path,
        before: this.#sideInfo(before, difference.path, difference.before),
        after: this.#sideInfo(after, difference.path, difference.after),
      }))
    }
  }

  /**
   * The commits that added, changed or removed what is at a path, from the given one back to the
   * root of its line: newest first, some at a time, as they are found. Costs a look-up in the tree
   * of each commit, and holds 100 commits.
   *
   * @throws {FileNotFoundError} at the end, when no commit ever had the path.
   */
  async *history(
    file: FileName,
    options: { readonly countMax?: number; readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<readonly FileChange[]> {
    const { countMax = 0, signal } = options
    const path = parseFilePath(file.path)
    using lease = this.#ports.leases.beginReading()
    const { commit, tree } = await this.snapshot({ ...file, lease, signal })
    const entry = await this.#ports.trees.get(tree, path)
    let count = 0
    for await (const found of pathHistory(this.#ports, path, { commit, entry }, signal)) {
      const changes = countMax === 0 ? found : found.slice(0, countMax - count)
      count += changes.length
      yield changes.map(({ kind, commit: by, after }) => ({
        kind,
        commit: by,
        after: after && this.#info(path, after),
      }))
      if (count === countMax) return
    }
    if (count > 0) return
    const where = `${commit.id}, nor in any before it`
    throw new FileNotFoundError({ repo: commit.repo, commit: where, path })
  }

  /** The two sides of a comparison, as `diff` has them. */
  async sides(
    options: Omit<DiffOptions, 'shallow'>,
    lease: Lease,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly after: Side; readonly before: Side | undefined }> {
    const after = await this.#sideOf(options.after, lease, signal)
    return { after, before: await this.#sideBefore(options.before, after, { lease, signal }) }
  }

  async #sideOf(file: FileName, lease: Lease, signal: AbortSignal | undefined): Promise<Side> {
    const path = parseFilePath(file.path)
    const { commit, tree } = await this.snapshot({ ...file, lease, signal })
    return { commit, path, entry: await this.#ports.trees.get(tree, path) }
  }

  async #sideBefore(
    given: FileName | undefined,
    after: Side,
    { lease, signal }: { readonly lease: Lease; readonly signal: AbortSignal | undefined },
  ): Promise<Side | undefined> {
    if (given !== undefined) return this.#sideOf(given, lease, signal)
    const { repo, parent } = after.commit
    if (parent === undefined) return undefined
    return this.#sideOf({ repo, commit: parent, path: after.path }, lease, signal)
  }

  #sideInfo(
    side: Side | undefined,
    relative: FilePath,
    entry: TreeEntry | undefined,
  ): FileInfo | undefined {
    if (side === undefined || entry === undefined) return undefined
    // A copy may have brought it to where its path is longer than one that can be asked for.
    return this.#info(`${side.path}${relative}` as FilePath, entry)
  }

  #info(path: FilePath, entry: TreeEntry): FileInfo {
    const sizeBytes = entry.kind === 'file' ? contentSizeBytes(entry.content) : entry.sizeBytes
    return { path, entry, hash: this.#ports.trees.entryHash(entry), sizeBytes }
  }
}

export interface BytesOptions extends ReadingOptions {
  readonly signal?: AbortSignal
}

/** What a commit holds at one time. */
export interface Snapshot {
  readonly commit: CommitInfo
  readonly tree: DirectoryEntry
  /** The last staged write that it shows; none when the commit is finished. */
  readonly sequence: number | undefined
}

/** What is at one of two paths that are compared. */
export interface Side {
  readonly commit: CommitInfo
  readonly path: FilePath
  readonly entry: TreeEntry | undefined
}

function notFound(commit: CommitInfo, path: FilePath): FileNotFoundError {
  return new FileNotFoundError({ repo: commit.repo, commit: commit.id, path })
}

/** The bytes of a content, which stays, should its file be deleted once they have begun to come. */
async function* heldBytes(
  ports: { readonly contents: Contents; readonly leases: Leases },
  content: Content,
  range: ReadingOptions,
): AsyncGenerator<Uint8Array> {
  using lease = ports.leases.beginReading()
  lease.hold({ kind: 'content', content })
  yield* ports.contents.read(content, range)
}

async function* cancellable(
  bytes: ByteStream,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  for await (const piece of bytes) {
    checkCancelled(signal)
    yield piece
  }
}
