import { hexText } from '../base/bytes.ts'
import { FailedPreconditionError, PermissionDeniedError } from '../base/errors.ts'
import { inParallel } from '../base/parallel.ts'
import type { FilePath } from '../base/paths.ts'
import type { RetryPorts } from '../base/retries.ts'
import type { StoreUrl } from '../base/source-urls.ts'
import type { BucketName, NewObject, Placed, WritableBucket } from '../clouds/bucket.ts'
import type { OwnCredentials } from '../clouds/own-credentials.ts'
import { Pace } from '../clouds/pace.ts'
import { SteadyBucket } from '../clouds/steady-bucket.ts'
import type { StoreReach } from '../clouds/store-reach.ts'
import type { Commits } from '../versioning/commits.ts'
import type { FileInfo, Files } from '../versioning/files.ts'
import { areBytesOf } from './object-check.ts'
import { targetKey } from './target-keys.ts'

/** Each may hold a part of 8 MiB. */
const parallelismMax = 32
const parallelismDefault = 10
/** From here on the parts of S3 become larger than that, and files go one at a time. */
const hugeBytesMin = 80_000_000_000

/** What is exported. */
export interface ExportSource {
  /** The id of the commit. */
  readonly commit: string
  /** A file, or the directory of all files. */
  readonly root: FilePath
  readonly isFile: boolean
  readonly walk: (signal: AbortSignal) => AsyncIterable<FileInfo>
  /**
   * Called before anything is written; tells what need not be looked at, for it is known to be there.
   * Missing: nobody knows.
   */
  readonly begin?: (target: ReachedTarget) => Promise<KnownFiles | undefined>
}

/** Where an export goes. */
export interface ReachedTarget {
  /** Another one for any other account, endpoint, bucket or key. */
  readonly place: string
  /** Not a single object is there. */
  readonly isEmpty: boolean
}

/** What is known to be there. */
export interface KnownFiles {
  readonly fileCount: number
  readonly sizeBytes: number
  /** All other files. */
  readonly others: (signal: AbortSignal) => AsyncIterable<FileInfo>
}

export interface ExportManner {
  /** Files on their way at once; 0: as many as usual. */
  readonly parallelism: number
  /** Read every object back, and compare it with its file. */
  readonly verifies: boolean
  /** In place of the server's own: named as variables such as `AWS_ACCESS_KEY_ID`. */
  readonly credentials?: Readonly<Record<string, string>> | undefined
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
  /** Told of every file that is there; at first of those that are known to be, where that is asked. */
  readonly onProgress?: (counts: ExportCounts) => void
}

/** Buckets to write to, and what they hold open. */
export interface OpenBuckets extends Disposable {
  openToWrite(name: BucketName): Promise<WritableBucket & Placed>
}

export interface ExportsPorts extends RetryPorts {
  readonly commits: Pick<Commits, 'inspect'>
  readonly files: Pick<Files, 'inspect' | 'walk' | 'walkTree' | 'newFiles' | 'chunksOf' | 'bytesOf'>
  /** With the server's credentials, or those that somebody brings. */
  readonly openBuckets: (own?: OwnCredentials) => Promise<OpenBuckets>
  /** Which object stores files may leave for. */
  readonly reach: StoreReach
}

/** Makes an object of each file of `source` that is not one already. */
export async function runExport(
  ports: ExportsPorts,
  source: ExportSource,
  target: StoreUrl,
  how: ExportManner & ExportOptions,
): Promise<ExportCounts> {
  const { parallelism, verifies, onProgress } = how
  const stop = new AbortController()
  const signal = AbortSignal.any([how.signal, stop.signal])
  const { files, openBuckets } = ports
  const { credentials: variables } = how
  using buckets = await openBuckets(variables && { kind: target.kind, variables })
  const count = Math.min(parallelism === 0 ? parallelismDefault : parallelism, parallelismMax)
  const pace = new Pace(ports, count, signal)
  const opened = await buckets.openToWrite(target)
  const bucket = new SteadyBucket(opened, pace)
  const { root } = source
  const prefix = targetKey(target.key, { root, path: root, isFile: source.isFile })
  const held = await whatIsHeld(bucket, prefix, signal)
  const place = { bucket, key: target.key, source }
  const told = onProgress === undefined ? {} : { onProgress }
  const work = new Export(files, place, { looks: held === 'some', verifies, ...told })
  const known = await source.begin?.({
    place: `${bucket.name}/${prefix} at ${opened.endpoint}`,
    isEmpty: held === 'nothing',
  })
  if (source.begin !== undefined) work.begin(known)
  await inParallel(
    known?.others(signal) ?? filesOf(source, signal),
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

interface Place {
  readonly bucket: WritableBucket
  /** Of the URL. */
  readonly key: string
  readonly source: ExportSource
}

async function* filesOf({ walk }: ExportSource, signal: AbortSignal): AsyncGenerator<FileInfo> {
  for await (const info of walk(signal)) if (isFile(info)) yield info
}

/** Objects are looked for before they are written where some are, and where that is allowed. */
async function whatIsHeld(
  bucket: WritableBucket,
  prefix: string,
  signal: AbortSignal,
): Promise<'some' | 'nothing' | 'secret'> {
  try {
    const found = bucket.list(prefix, signal)[Symbol.asyncIterator]()
    const { done = false } = await found.next()
    await found.return?.()
    return done ? 'nothing' : 'some'
  } catch (error) {
    // Some may write, and neither list nor read.
    if (error instanceof PermissionDeniedError) return 'secret'
    throw error
  }
}

const nothing = { fileCount: 0, sizeBytes: 0 }

/** One export on its way. */
class Export {
  readonly #files: ExportsPorts['files']
  readonly #place: Place
  readonly #looks: boolean
  readonly #verifies: boolean
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
      readonly onProgress?: (counts: ExportCounts) => void
    },
  ) {
    this.#files = files
    this.#place = place
    this.#looks = how.looks
    this.#verifies = how.verifies
    this.#onProgress = how.onProgress
    const { commit } = place.source
    this.counts = { commit, fileCount: 0, sizeBytes: 0, sameFileCount: 0, sameBytes: 0 }
  }

  /** Counts what is known to be there. */
  begin({ fileCount, sizeBytes }: Pick<KnownFiles, 'fileCount' | 'sizeBytes'> = nothing): void {
    const { commit } = this.counts
    const same = { sameFileCount: fileCount, sameBytes: sizeBytes }
    this.counts = { commit, fileCount, sizeBytes, ...same }
    this.#onProgress?.(this.counts)
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
    const found = await this.#place.bucket.find(key, signal)
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
    const object = await bucket.find(key, signal)
    if (object?.sizeBytes !== info.sizeBytes) return false
    return areBytesOf(bucket.read(object, 0, signal), this.#files.chunksOf(info, signal))
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
