import { createHash } from 'node:crypto'
import { DomainError, type ErrorKind, InvalidArgumentError } from '../base/errors.ts'
import type { Content, Contents } from '../storage/contents.ts'
import { keptDays, type KeptTransfer, type KeptTransfers } from '../versioning/kept-transfers.ts'
import type { Split } from '../versioning/splits.ts'
import type { BulkWriter, Writes } from '../versioning/writes.ts'
import { fetchContent } from './fetched-content.ts'
import { foundFiles, type SourcePut } from './found-files.ts'
import { inOrder } from './in-order.ts'
import type { Sources } from './sources.ts'

export interface SourcePutRequest {
  readonly repo: string
  /** A branch or an id, of an open commit. */
  readonly commit: string
  readonly sources: readonly SourcePut[]
  readonly isRecursive: boolean
  readonly overwrite: boolean
  /** Files on their way at once; 0: as many as usual. */
  readonly parallelism: number
  /**
   * Go on with what an earlier try of the same sources into the same repo has brought. Undefined: whoever asks
   * knows no such thing, so nothing is kept either.
   */
  readonly resumes: boolean | undefined
  /** How each file becomes pieces, if at all. */
  readonly split: Split | undefined
  /** Another write is to complete what this one puts. */
  readonly isPart?: boolean | undefined
  /** In place of the server's own: named as variables such as `AWS_ACCESS_KEY_ID`. */
  readonly credentials?: Readonly<Record<string, string>> | undefined
}

/** How far a put is. */
export interface SourcePutCounts {
  readonly fileCount: number
  /** Bytes that have come. */
  readonly sizeBytes: number
  /** Bytes that did not have to come, since they are here. */
  readonly keptBytes: number
}

export interface SourcePutsPorts {
  readonly sources: Sources
  readonly writes: Writes
  readonly contents: Contents
  readonly kept: KeptTransfers
}

/** Each may hold a chunk of 4 MiB. */
const parallelismMax = 32
const parallelismDefault = 10
const sourceCountMax = 100_000
/** A file up to this size rides in a row of the database, if it is the only one. */
const onlyBytesMax = 64 * 1024
/** Of a smaller file, its bytes are as soon here as it is known whether there is room for it. */
const roomBytesMin = 1024 * 1024

/** A transfer failed, and what had come is kept. */
class KeptError extends DomainError {
  override readonly name = 'KeptError'
  readonly kind: ErrorKind

  constructor(cause: DomainError, fileCount: number) {
    const files =
      fileCount === 1 ? '1 file, or a part of it, is' : `${fileCount} files, or parts of them, are`
    super(
      `${cause.message}; nothing was put. ${files} here already, and kept for ${keptDays} days: the same command with --resume fetches only the rest`,
      { cause },
    )
    this.kind = cause.kind
  }
}

/** Puts files from elsewhere into open commits: all of a request's, or none. */
export class SourcePuts {
  readonly #ports: SourcePutsPorts

  constructor(ports: SourcePutsPorts) {
    this.#ports = ports
  }

  /**
   * Files of one path are appended in the order of the sources. Durable when it resolves.
   * `onProgress` is told of every piece that has come.
   */
  async put(
    request: SourcePutRequest,
    options: {
      readonly signal: AbortSignal
      readonly onProgress?: (counts: SourcePutCounts) => void
    },
  ): Promise<SourcePutCounts> {
    requireSources(request)
    const { repo, commit, resumes, split, isPart } = request
    const { signal } = options
    await using writer = await this.#ports.writes.bulk(repo, commit, { split, signal, isPart })
    const { lease } = writer
    const kept =
      resumes === undefined
        ? undefined
        : await this.#ports.kept.open(keyOf(request), { lease, resumes })
    const progress = new Progress(options.onProgress)
    try {
      await this.#fetchAll(request, { writer, kept, progress, signal })
    } catch (error) {
      // Where nothing can be kept, what went wrong first is what there is to tell.
      await kept?.save().catch(() => undefined)
      const fileCount = kept?.counts.fileCount ?? 0
      throw error instanceof DomainError && fileCount > 0 ? new KeptError(error, fileCount) : error
    }
    await writer.commit(signal)
    await kept?.forget()
    return progress.counts
  }

  async #fetchAll(request: SourcePutRequest, run: Run): Promise<void> {
    const { writer, kept, progress } = run
    const { overwrite, sources, isRecursive } = request
    await using session = this.#ports.sources.session(request.credentials)
    const parallel = parallelCount(request.parallelism)
    const found = { sources, isRecursive, count: parallel, signal: run.signal }
    const files = foundFiles(session, found)
    const smallBytesMax = sources.length === 1 && !isRecursive ? onlyBytesMax : 0
    const ports = { patience: session.ports, contents: this.#ports.contents, kept }
    const onBytes = (count: number): void => progress.add({ sizeBytes: count })
    const onKept = (count: number): void => progress.add({ keptBytes: count })
    const fetched = inOrder(files, parallel, async (next, stop) => {
      const signal = AbortSignal.any([run.signal, stop])
      if ((next.file.sizeBytes ?? roomBytesMin) >= roomBytesMin) await writer.requireRoom(next.path)
      const fetch = { ...next, signal, smallBytesMax, onBytes, onKept }
      return { path: next.path, value: await fetchContent(ports, fetch) }
    })
    for await (const { path, value } of fetched) {
      await putValue(writer, path, value, overwrite)
      progress.add({ fileCount: 1 })
      await kept?.saveWhenDue()
    }
  }
}

interface Run {
  readonly writer: BulkWriter
  readonly kept: KeptTransfer | undefined
  readonly progress: Progress
  readonly signal: AbortSignal
}

async function putValue(
  writer: BulkWriter,
  path: string,
  value: Content | Uint8Array,
  overwrite: boolean,
): Promise<void> {
  if (value instanceof Uint8Array) await writer.put(path, value, { overwrite })
  else await writer.putStored(path, value, { overwrite })
}

/** The same for the same command; says nothing about the URLs, which may hold secrets. */
function keyOf({ repo, sources, isRecursive }: SourcePutRequest): string {
  const places = sources.map(({ url, path, addsOwnName }) => [url, path, addsOwnName])
  return createHash('sha256')
    .update(JSON.stringify([repo, isRecursive, places]))
    .digest('hex')
}

function requireSources({ sources }: SourcePutRequest): void {
  if (sources.length === 0) {
    throw new InvalidArgumentError('the request names no source: give at least one URL')
  }
  if (sources.length <= sourceCountMax) return
  throw new InvalidArgumentError(
    `${sources.length} sources are too many for one request: give at most ${sourceCountMax}`,
  )
}

/** How many files to bring at once. */
export function parallelCount(asked: number): number {
  return asked === 0 ? parallelismDefault : Math.min(asked, parallelismMax)
}

/** Counts what comes. */
class Progress {
  readonly #onProgress: ((counts: SourcePutCounts) => void) | undefined
  counts: SourcePutCounts = { fileCount: 0, sizeBytes: 0, keptBytes: 0 }

  constructor(onProgress: ((counts: SourcePutCounts) => void) | undefined) {
    this.#onProgress = onProgress
  }

  add({ fileCount = 0, sizeBytes = 0, keptBytes = 0 }: Partial<SourcePutCounts>): void {
    const { counts } = this
    this.counts = {
      fileCount: counts.fileCount + fileCount,
      sizeBytes: counts.sizeBytes + sizeBytes,
      keptBytes: counts.keptBytes + keptBytes,
    }
    this.#onProgress?.(this.counts)
  }
}
