import type { ByteStream } from '../base/bytes.ts'
import { UnimplementedError } from '../base/errors.ts'
import type { FilePath } from '../base/paths.ts'
import type { TreeEntry } from '../storage/file-trees.ts'
import type { CommitInfo, CommitTree } from './commit-records.ts'
import type { VersioningPorts } from './ports.ts'

/** A file or directory of a commit. */
export interface FileInfo {
  readonly path: FilePath
  readonly entry: TreeEntry
  /** 32 bytes; equal contents, equal hashes. */
  readonly hash: Uint8Array
  readonly sizeBytes: number
}

/** A path, relative to the two that are compared (empty for these themselves), that differs. */
export interface FileDifference {
  readonly path: FilePath
  readonly before: FileInfo | undefined
  readonly after: FileInfo | undefined
}

/** Where to read: `commit` is a branch or an id, `path` any text that names a path. */
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

  constructor(ports: VersioningPorts) {
    this.#ports = ports
  }

  /** The tree of a commit as it is now. The root of an open commit's tree is a stored chunk, too. */
  async tree(
    repo: string,
    commit: string,
    signal?: AbortSignal,
  ): Promise<{ readonly commit: CommitInfo; readonly tree: CommitTree }> {
    throw new UnimplementedError(repo + commit + String(this.#ports) + String(signal))
  }

  /** @throws {FileNotFoundError} */
  async inspect(file: FileName, signal?: AbortSignal): Promise<FileInfo> {
    throw new UnimplementedError(file.path + String(signal))
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
    options?: {
      readonly offset?: number
      readonly length?: number
      readonly signal?: AbortSignal
    },
  ): Promise<{ readonly info: FileInfo; readonly bytes: ByteStream }> {
    throw new UnimplementedError(file.path + String(options))
  }

  /**
   * What a directory holds, by name in byte order.
   *
   * @throws {FileNotFoundError}
   * @throws {NotADirectoryError}
   */
  list(file: FileName, signal?: AbortSignal): AsyncIterable<FileInfo> {
    throw new UnimplementedError(file.path + String(signal))
  }

  /** Every file and directory below `path` and itself, in path order. */
  walk(file: FileName, signal?: AbortSignal): AsyncIterable<FileInfo> {
    throw new UnimplementedError(file.path + String(signal))
  }

  /** What matches, in path order. @throws {InvalidArgumentError} for a malformed pattern. */
  glob(
    options: { readonly repo: string; readonly commit: string; readonly pattern: string },
    signal?: AbortSignal,
  ): AsyncIterable<FileInfo> {
    throw new UnimplementedError(options.pattern + String(signal))
  }

  /**
   * What differs between two paths; `before` absent: the same path in the parent commit, or
   * nothing without one. Deep: files only. Shallow: one level, directories as such. A path that is
   * missing counts as empty.
   */
  diff(
    options: {
      readonly after: FileName
      readonly before?: FileName | undefined
      readonly shallow: boolean
    },
    signal?: AbortSignal,
  ): AsyncIterable<FileDifference> {
    throw new UnimplementedError(options.after.path + String(signal))
  }
}
