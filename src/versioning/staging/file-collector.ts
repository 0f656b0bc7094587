import { type ByteStream, copyBytes } from '../../base/bytes.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import { type FilePath, parseFilePath, rootPath } from '../../base/paths.ts'
import { type Content, type Contents, contentSizeBytes } from '../../storage/contents.ts'
import type { VersioningPorts } from '../ports.ts'
import { RunCollector } from './bulk.ts'
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
  add(path: string, bytes: ByteStream | Uint8Array, overwrite: boolean): Promise<void>
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

  constructor({ chunks, contents }: Pick<VersioningPorts, 'chunks' | 'contents'>) {
    this.#contents = contents
    this.#runs = new RunCollector(chunks, fileCodec)
  }

  async add(pathText: string, bytes: ByteStream | Uint8Array, overwrite: boolean): Promise<void> {
    this.#runs.requireCollecting()
    const isFirst = this.#only === undefined && this.#fileCount === 0
    await this.#storeOnly()
    const path = parsePutPath(pathText)
    if (isFirst) this.#only = rowPut(path, bytes, overwrite)
    if (this.#only === undefined) await this.#store(path, bytes, overwrite)
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

  /** A file that is not the only one any more needs a content, too. */
  async #storeOnly(): Promise<void> {
    const only = this.#only
    this.#only = undefined
    if (only !== undefined) await this.#store(only.path, only.value.bytes, only.overwrite)
  }

  async #store(path: FilePath, bytes: ByteStream | Uint8Array, overwrite: boolean): Promise<void> {
    const content =
      bytes instanceof Uint8Array
        ? await this.#contents.writeBytes(bytes)
        : await this.#contents.write(bytes)
    await this.#addContent(path, content, overwrite)
  }

  async #addContent(path: FilePath, content: Content, overwrite: boolean): Promise<void> {
    await this.#runs.add(path, content, overwrite)
    this.#fileCount += 1
    this.#sizeBytes += contentSizeBytes(content)
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
