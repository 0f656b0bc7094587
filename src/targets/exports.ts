import { hexText } from '../base/bytes.ts'
import {
  DomainError,
  type ErrorKind,
  FailedPreconditionError,
  PermissionDeniedError,
} from '../base/errors.ts'
import { inParallel } from '../base/parallel.ts'
import { type FilePath, rootPath } from '../base/paths.ts'
import { shownSource, type StoreUrl } from '../base/source-urls.ts'
import type { RetryPorts } from '../base/retries.ts'
import { parseTargetUrl } from '../base/target-urls.ts'
import type { BucketName, NewObject, WritableBucket } from '../clouds/bucket.ts'
import type { OwnCredentials } from '../clouds/own-credentials.ts'
import type { CommitTree } from '../versioning/commit-records.ts'
import type { Commits } from '../versioning/commits.ts'
import type { FileInfo, Files } from '../versioning/files.ts'
import { areBytesOf } from './object-check.ts'
import { Pace } from './pace.ts'
import { targetKey } from './target-keys.ts'

export interface ExportRequest {
  readonly repo: string
  /** A branch, a tag or an id. */
  readonly commit: string
  /** A file, or a directory with all that is in it. */
  readonly path: string
  /** Of an object store. */
  readonly url: string
  /** Files on their way at once; 0: as many as usual. */
  readonly parallelism: number
  /** Read every object back, and compare it with its file. */
  readonly verifies: boolean
  /** In place of the server's own: named as variables such as `AWS_ACCESS_KEY_ID`. */
  readonly credentials?: Readonly<Record<string, string>> | undefined
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
}

/** How far an export is. */
export interface ExportCounts {
  /** The id of the commit. */
  readonly commit: string
  /** Files that are there now. */
  readonly fileCount: number
  readonly sizeBytes: number
  /** Of these, the files that were there before. */
  readonly sameFileCount: number
  readonly sameBytes: number
}

export interface ExportOptions {
  readonly signal: AbortSignal
  /** Told of every file that is there. */
  readonly onProgress?: (counts: ExportCounts) => void
}

/** Buckets to write to, and what they hold open. */
export interface OpenBuckets extends Disposable {
  openToWrite(name: BucketName): Promise<WritableBucket>
}

export interface ExportsPorts extends RetryPorts {
  readonly commits: Pick<Commits, 'inspect'>
  readonly files: Pick<Files, 'inspect' | 'walk' | 'walkTree' | 'chunksOf' | 'bytesOf'>
  /** With the server's credentials, or those that somebody brings. */
  readonly openBuckets: (own?: OwnCredentials) => OpenBuckets
  /** Whether files may leave for object stores at all. */
  readonly isAllowed: boolean
}

/** Each may hold a part of 8 MiB. */
const parallelismMax = 32
const parallelismDefault = 10
/** From here on the parts of S3 become larger than that, and files go one at a time. */
const hugeBytesMin = 80_000_000_000

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
    const source: Source = {
      commit,
      root: root.path,
      isFile: isFile(root),
      walk: (stop) =>
        isFile(root) ? only(root) : files.walk({ repo, commit, path: root.path }, stop),
    }
    let fileCount = 0
    const tell = (counts: ExportCounts): void => {
      fileCount = counts.fileCount
      onProgress?.(counts)
    }
    try {
      const how = { parallelism, verifies, signal, onProgress: tell, credentials }
      return await this.#export(source, target, how)
    } catch (error) {
      if (!(error instanceof DomainError) || fileCount === 0) throw error
      throw new UnfinishedExportError(error, fileCount)
    }
  }

  /** As `run`, of all files of a tree. */
  async exportTree(request: TreeExportRequest, options: ExportOptions): Promise<ExportCounts> {
    const { commit, tree, url, credentials } = request
    const target = this.#targetOf(url)
    const walk = (signal: AbortSignal): AsyncIterable<FileInfo> =>
      this.#ports.files.walkTree(tree, signal)
    const source: Source = { commit, root: rootPath, isFile: false, walk }
    const how = { parallelism: 0, verifies: false, ...options }
    return await this.#export(source, target, { ...how, credentials })
  }

  #targetOf(url: string): StoreUrl {
    const target = parseTargetUrl(url)
    if (!this.#ports.isAllowed) {
      throw new PermissionDeniedError(
        `cannot export to ${shownSource(url)}: this server exchanges nothing with object stores (it runs with --sources none)`,
      )
    }
    return target
  }

  async #export(
    source: Source,
    target: StoreUrl,
    how: ExportOptions & Pick<ExportRequest, 'parallelism' | 'verifies' | 'credentials'>,
  ): Promise<ExportCounts> {
    const { parallelism, verifies, onProgress } = how
    const stop = new AbortController()
    const signal = AbortSignal.any([how.signal, stop.signal])
    const { files, openBuckets } = this.#ports
    const { credentials: variables } = how
    using buckets = openBuckets(variables && { kind: target.kind, variables })
    const bucket = await buckets.openToWrite(target)
    const { root } = source
    const prefix = targetKey(target.key, { root, path: root, isFile: source.isFile })
    const count = Math.min(parallelism === 0 ? parallelismDefault : parallelism, parallelismMax)
    const pace = new Pace(this.#ports, count, signal)
    const looks = await pace.again(() => mayHoldSome(bucket, prefix, signal))
    const place = { bucket, key: target.key, source }
    const told = onProgress === undefined ? {} : { onProgress }
    const work = new Export(files, place, { looks, verifies, pace, ...told })
    await inParallel(
      filesOf(source, signal),
      () => pace.count,
      async (info) => {
        try {
          await work.put(info, signal)
        } catch (error) {
          stop.abort()
          throw error
        }
      },
    )
    return work.counts
  }
}

/** What is exported. */
interface Source {
  /** The id of the commit. */
  readonly commit: string
  /** A file, or the directory of all files. */
  readonly root: FilePath
  readonly isFile: boolean
  readonly walk: (signal: AbortSignal) => AsyncIterable<FileInfo>
}

interface Place {
  readonly bucket: WritableBucket
  /** Of the URL. */
  readonly key: string
  readonly source: Source
}

async function* only(info: FileInfo): AsyncGenerator<FileInfo> {
  yield info
}

async function* filesOf({ walk }: Source, signal: AbortSignal): AsyncGenerator<FileInfo> {
  for await (const info of walk(signal)) if (isFile(info)) yield info
}

/** Whether to look for each object before it is written: not where none is, or none can be looked for. */
async function mayHoldSome(
  bucket: WritableBucket,
  prefix: string,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const found = bucket.list(prefix, signal)[Symbol.asyncIterator]()
    const { done = false } = await found.next()
    await found.return?.()
    return !done
  } catch (error) {
    // Some may write, and neither list nor read.
    if (error instanceof PermissionDeniedError) return false
    throw error
  }
}

/** One export on its way. */
class Export {
  readonly #files: ExportsPorts['files']
  readonly #place: Place
  readonly #looks: boolean
  readonly #verifies: boolean
  readonly #pace: Pace
  readonly #onProgress: ((counts: ExportCounts) => void) | undefined
  counts: ExportCounts
  /** The last of the huge files. */
  #huge: Promise<void> = Promise.resolve()

  constructor(
    files: ExportsPorts['files'],
    place: Place,
    how: {
      readonly looks: boolean
      readonly verifies: boolean
      readonly pace: Pace
      readonly onProgress?: (counts: ExportCounts) => void
    },
  ) {
    this.#files = files
    this.#place = place
    this.#looks = how.looks
    this.#verifies = how.verifies
    this.#pace = how.pace
    this.#onProgress = how.onProgress
    const { commit } = place.source
    this.counts = { commit, fileCount: 0, sizeBytes: 0, sameFileCount: 0, sameBytes: 0 }
  }

  /** Makes an object of a file, or finds that it is there. */
  async put(info: FileInfo, signal: AbortSignal): Promise<void> {
    const { bucket, key: urlKey, source } = this.#place
    const key = targetKey(urlKey, { ...source, path: info.path })
    const isThere = await this.#isThere(info, key, signal)
    if (!isThere) {
      await this.#write(info, key, signal)
      if (this.#verifies && !(await this.#isRight(info, key, signal))) {
        throw new FailedPreconditionError(
          `${bucket.name}/${key} is not what was written, or has been written by somebody else meanwhile: export it again`,
        )
      }
    }
    this.#count(info, isThere)
  }

  async #isThere(info: FileInfo, key: string, signal: AbortSignal): Promise<boolean> {
    if (!this.#looks) return false
    const found = await this.#pace.again(() => this.#place.bucket.find(key, signal))
    const isSame = found?.sizeBytes === info.sizeBytes && found.contentHash === hexText(info.hash)
    return isSame && (!this.#verifies || (await this.#isRight(info, key, signal)))
  }

  async #write(info: FileInfo, key: string, signal: AbortSignal): Promise<void> {
    const { bucket } = this.#place
    const { sizeBytes } = info
    const object: NewObject = {
      key,
      sizeBytes,
      contentHash: hexText(info.hash),
      read: async (offset, length) => this.#read(info, { offset, length, signal }),
      again: this.#pace.again,
    }
    if (sizeBytes < hugeBytesMin) return bucket.write(object, signal)
    const turn = this.#huge.catch(() => undefined).then(() => bucket.write(object, signal))
    this.#huge = turn
    return turn
  }

  /** All of a part: stores want its sum before it. */
  async #read(
    info: FileInfo,
    range: { readonly offset: number; readonly length: number; readonly signal: AbortSignal },
  ): Promise<Uint8Array> {
    const bytes = new Uint8Array(range.length)
    if (range.length === 0) return bytes
    let at = 0
    for await (const slice of this.#files.bytesOf(info, range)) {
      bytes.set(slice, at)
      at += slice.length
    }
    return bytes
  }

  async #isRight(info: FileInfo, key: string, signal: AbortSignal): Promise<boolean> {
    const { bucket } = this.#place
    return await this.#pace.again(async () => {
      const object = await bucket.find(key, signal)
      if (object?.sizeBytes !== info.sizeBytes) return false
      return areBytesOf(bucket.read(object, 0, signal), this.#files.chunksOf(info, signal))
    })
  }

  #count({ sizeBytes }: FileInfo, isThere: boolean): void {
    const { counts } = this
    this.counts = {
      ...counts,
      fileCount: counts.fileCount + 1,
      sizeBytes: counts.sizeBytes + sizeBytes,
      sameFileCount: counts.sameFileCount + (isThere ? 1 : 0),
      sameBytes: counts.sameBytes + (isThere ? sizeBytes : 0),
    }
    this.#onProgress?.(this.counts)
  }
}

function isFile({ entry }: FileInfo): boolean {
  return entry.kind === 'file'
}
