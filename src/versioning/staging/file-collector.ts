import { type ByteStream, copyBytes } from '../../base/bytes.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import { type FilePath, parseFilePath, rootPath } from '../../base/paths.ts'
import { type Content, type Contents, contentSizeBytes } from '../../storage/contents.ts'
import type { VersioningPorts } from '../ports.ts'
import { type RecordFollower, RunCollector } from './bulk.ts'
import { fileCodec } from './runs.ts'
import { rowBytesMax, type RunsWrite, type StagedWrite } from './staged-rows.ts'

/** A put whose bytes ride in its row. */
export type RowPut = Extract<StagedWrite, { readonly kind: 'put' }> & {
  readonly value: { readonly kind: 'bytes'; readonly bytes: Uint8Array }
}

/** What is to be staged, and what it is in files and bytes. */
export interface Collected {
  /** Undefined when there is nothing to stage. */
  readonly write: RowPut | RunsWrite | undefined
  readonly fileCount: number
  readonly sizeBytes: number
}

/** Takes what a bulk write puts, one path after the other. */
export interface BulkCollector {
  /** Throws, or rejects; undefined when there is nothing to wait for. */
  add(path: string, bytes: ByteStream | Uint8Array, overwrite: boolean): Promise<void> | undefined
  /** As `add`, of a content that is stored. */
  addStored(path: string, content: Content, overwrite: boolean): Promise<void>
  /** Nothing can be added after it. */
  end(): Promise<Collected>
  abandon(): void
}

/** Whole files. A single one that fits a row needs no chunk, and so costs no pack of its own. */
export class FileCollector implements BulkCollector {
  readonly #contents: Contents
  readonly #runs: RunCollector<Content>
  #only: RowPut | undefined
  #fileCount = 0
  #sizeBytes = 0

  /** `follower` is told of files whose contents are stored, for as long as they come by path. */
  constructor(
    { chunks, contents }: Pick<VersioningPorts, 'chunks' | 'contents'>,
    follower: RecordFollower<Content>,
  ) {
    this.#contents = contents
    this.#runs = new RunCollector(chunks, fileCodec, follower)
  }

  add(
    pathText: string,
    bytes: ByteStream | Uint8Array,
    overwrite: boolean,
  ): Promise<void> | undefined {
    this.#runs.requireCollecting()
    const path = parsePutPath(pathText)
    if (this.#only !== undefined) return this.#addToOnly(path, bytes, overwrite)
    if (this.#fileCount === 0) this.#only = rowPut(path, bytes, overwrite)
    return this.#only === undefined ? this.#store(path, bytes, overwrite) : undefined
  }

  async addStored(pathText: string, content: Content, overwrite: boolean): Promise<void> {
    this.#runs.requireCollecting()
    await this.#storeOnly()
    await this.#addContent(parsePutPath(pathText), content, overwrite)
  }

  async end(): Promise<Collected> {
    const only = this.#only
    const runs = await this.#runs.end()
    if (only !== undefined) {
      return { write: only, fileCount: 1, sizeBytes: only.value.bytes.length }
    }
    const write = runs.length === 0 ? undefined : ({ kind: 'bulk', runs } as const)
    return { write, fileCount: this.#fileCount, sizeBytes: this.#sizeBytes }
  }

  abandon(): void {
    this.#runs.abandon()
  }

  async #addToOnly(
    path: FilePath,
    bytes: ByteStream | Uint8Array,
    overwrite: boolean,
  ): Promise<void> {
    await this.#storeOnly()
    await this.#store(path, bytes, overwrite)
  }

  /** A file that is not the only one any more needs a content, too. */
  async #storeOnly(): Promise<void> {
    const only = this.#only
    this.#only = undefined
    if (only !== undefined) await this.#store(only.path, only.value.bytes, only.overwrite)
  }

  #store(
    path: FilePath,
    bytes: ByteStream | Uint8Array,
    overwrite: boolean,
  ): Promise<void> | undefined {
    const content =
      bytes instanceof Uint8Array ? this.#contents.writeBytes(bytes) : this.#contents.write(bytes)
    // Not async: of a million small files, each would pay for it.
    if (!(content instanceof Promise)) return this.#addContent(path, content, overwrite)
    return content.then((stored) => this.#addContent(path, stored, overwrite))
  }

  #addContent(path: FilePath, content: Content, overwrite: boolean): Promise<void> | undefined {
    this.#fileCount += 1
    this.#sizeBytes += contentSizeBytes(content)
    return this.#runs.add(path, content, overwrite)
  }
}

/** @throws {InvalidArgumentError} for the root, and for what is no path. */
export function parsePutPath(text: string): FilePath {
  const path = parseFilePath(text)
  if (path === rootPath)
    throw new InvalidArgumentError('cannot put a file at the root: name it, as in /file')
  return path
}

/** The put of a file that fits a row; its bytes are copied. */
function rowPut(
  path: FilePath,
  bytes: ByteStream | Uint8Array,
  overwrite: boolean,
): RowPut | undefined {
  if (!(bytes instanceof Uint8Array) || bytes.length > rowBytesMax) return undefined
  return { kind: 'put', path, overwrite, value: { kind: 'bytes', bytes: copyBytes(bytes) } }
}
