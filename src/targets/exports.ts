import { DomainError, type ErrorKind } from '../base/errors.ts'
import { rootPath } from '../base/paths.ts'
import { shownSource, type StoreUrl } from '../base/source-urls.ts'
import { parseTargetUrl } from '../base/target-urls.ts'
import { requireStoreReach } from '../clouds/store-reach.ts'
import type { CommitTree } from '../versioning/commit-records.ts'
import type { FileInfo } from '../versioning/files.ts'
import type {
  ExportCounts,
  ExportManner,
  ExportOptions,
  ExportSource,
  ExportsPorts,
  KnownFiles,
  ReachedTarget,
} from './export-run.ts'

export interface ExportRequest extends ExportManner {
  readonly repo: string
  /** A branch, a tag or an id. */
  readonly commit: string
  /** A file, or a directory with all that is in it. */
  readonly path: string
  /** Of an object store. */
  readonly url: string
}

/** All files of a tree, which may be no commit's yet: a lease of the caller's keeps it. */
export interface TreeExportRequest {
  /** The id of the commit that it is, or will be. */
  readonly commit: string
  readonly tree: CommitTree
  /** Of an object store. */
  readonly url: string
  /** In place of the server's own: named as variables such as `AWS_ACCESS_KEY_ID`. */
  readonly credentials?: Readonly<Record<string, string>>
  /**
   * Called before anything is written; gives a tree all of whose files are there, but for those that
   * differ in the one which is exported. A lease of the caller's keeps it.
   */
  readonly begin: (target: ReachedTarget) => Promise<CommitTree | undefined>
}

/** An export failed, and what had come stays. */
class UnfinishedExportError extends DomainError {
  override readonly name = 'UnfinishedExportError'
  readonly kind: ErrorKind

  constructor(cause: DomainError, fileCount: number) {
    const files = fileCount === 1 ? '1 file is' : `${fileCount} files are`
    super(
      `${cause.message}; ${files} there already, each of them whole: the same command goes on with the rest`,
      { cause },
    )
    this.kind = cause.kind
  }
}

/** Writes files of commits to object stores. */
export class Exports {
  readonly #ports: ExportsPorts

  constructor(ports: ExportsPorts) {
    this.#ports = ports
  }

  /**
   * Whether files may go there at all, as far as the URL says.
   *
   * @throws {InvalidArgumentError} @throws {PermissionDeniedError}
   */
  check(url: string): void {
    this.#targetOf(url)
  }

  /**
   * Each file becomes an object, at once and whole; objects that have the right content already are left
   * as they are, and those of no file stay. `onProgress` is told of every file that is there.
   */
  async run(request: ExportRequest, options: ExportOptions): Promise<ExportCounts> {
    const { repo, path, url, parallelism, verifies, credentials } = request
    const target = this.#targetOf(url)
    const { signal, onProgress } = options
    const { commits, files } = this.#ports
    // The branch is resolved once, so that what is exported is one commit.
    const { id: commit } = await commits.inspect(repo, request.commit)
    const root = await files.inspect({ repo, commit, path }, signal)
    const source: ExportSource = {
      commit,
      root: root.path,
      isFile: root.entry.kind === 'file',
      walk: (stop) =>
        root.entry.kind === 'file'
          ? only(root)
          : files.walk({ repo, commit, path: root.path }, stop),
    }
    let fileCount = 0
    const tell = (counts: ExportCounts): void => {
      fileCount = counts.fileCount
      onProgress?.(counts)
    }
    try {
      const how = { parallelism, verifies, signal, onProgress: tell, credentials }
      return await this.#run(source, target, how)
    } catch (error) {
      if (!(error instanceof DomainError) || fileCount === 0) throw error
      throw new UnfinishedExportError(error, fileCount)
    }
  }

  /** As `run`, of all files of a tree; looks only at those that may not be there. */
  async exportTree(request: TreeExportRequest, options: ExportOptions): Promise<ExportCounts> {
    const { commit, tree, url, credentials } = request
    const target = this.#targetOf(url)
    const walk = (signal: AbortSignal): AsyncIterable<FileInfo> =>
      this.#ports.files.walkTree(tree, signal)
    const begin = async (reached: ReachedTarget): Promise<KnownFiles | undefined> => {
      const base = await request.begin(reached)
      return base && (await this.#known(base, tree, options.signal))
    }
    const source: ExportSource = { commit, root: rootPath, isFile: false, walk, begin }
    const how = { parallelism: 0, verifies: false, ...options }
    return await this.#run(source, target, { ...how, credentials })
  }

  /** Of `tree`, what `base` has, too. Counts the rest first, so that it can be told how much is there. */
  async #known(base: CommitTree, tree: CommitTree, signal: AbortSignal): Promise<KnownFiles> {
    const others = (stop: AbortSignal): AsyncIterable<FileInfo> =>
      this.#ports.files.newFiles(base, tree, stop)
    let { fileCount, sizeBytes } = tree
    for await (const file of others(signal)) {
      fileCount -= 1
      sizeBytes -= file.sizeBytes
    }
    return { fileCount, sizeBytes, others }
  }

  #targetOf(url: string): StoreUrl {
    const target = parseTargetUrl(url)
    requireStoreReach(this.#ports.reach, target, `cannot export to ${shownSource(url)}`)
    return target
  }

  async #run(
    source: ExportSource,
    target: StoreUrl,
    how: ExportManner & ExportOptions,
  ): Promise<ExportCounts> {
    // Most servers never export.
    const { runExport } = await import('./export-run.ts')
    return await runExport(this.#ports, source, target, how)
  }
}

async function* only(info: FileInfo): AsyncGenerator<FileInfo> {
  yield info
}
