import { type FileHandle, open, opendir, readlink, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { ByteStream } from '../../base/bytes.ts'
import { UnavailableError } from '../../base/errors.ts'
import {
  isPlainTag,
  OldObjectNotFoundError,
  requireObjectHash,
  type OldObjects,
} from '../old-objects.ts'

/** Most objects are shorter, and read at once. */
const firstBytes = 16 * 1024
const moreBytes = 1024 * 1024

/**
 * The objects of a server that kept them in a directory: `object/<hash>` holds the bytes, and
 * `tag/<name>` is a link to one of these, by its path in the server's container.
 */
export class FileObjects implements OldObjects {
  readonly name: string
  readonly #directory: string
  /** Those of reads that have ended: a new one for each of millions of short objects costs more than they do. */
  readonly #buffers: Uint8Array[] = []

  constructor(directory: string) {
    this.name = directory
    this.#directory = directory
  }

  async *read(hash: string): ByteStream {
    requireObjectHash(hash)
    let file: FileHandle
    try {
      file = await open(join(this.#directory, 'object', hash), 'r')
    } catch (error) {
      throw this.#worded(error, hash)
    }
    try {
      const first = await this.#readFirst(file)
      if (first.length > 0) yield first
      // Files are read to where a read gives less; a special file is none that a server made.
      if (first.length < firstBytes) return
      for (;;) {
        const { bytesRead, buffer } = await file.read(new Uint8Array(moreBytes))
        if (bytesRead > 0) yield buffer.subarray(0, bytesRead)
        if (bytesRead < moreBytes) return
      }
    } catch (error) {
      throw this.#worded(error, hash)
    } finally {
      await file.close()
    }
  }

  /** At most `firstBytes`. */
  async #readFirst(file: FileHandle): Promise<Uint8Array> {
    const buffer = this.#buffers.pop() ?? new Uint8Array(firstBytes)
    const { bytesRead } = await file.read(buffer)
    const bytes = buffer.slice(0, bytesRead)
    this.#buffers.push(buffer)
    return bytes
  }

  async sizeBytes(hash: string): Promise<number> {
    requireObjectHash(hash)
    try {
      return (await stat(join(this.#directory, 'object', hash))).size
    } catch (error) {
      throw this.#worded(error, hash)
    }
  }

  async findTag(name: string): Promise<string | undefined> {
    if (!isPlainTag(name)) return undefined
    try {
      return basename(await readlink(join(this.#directory, 'tag', name)))
    } catch (error) {
      if (isAbsence(error)) return undefined
      throw fileError(error)
    }
  }

  async listTags(prefix: string, onTag: (name: string) => void): Promise<boolean> {
    try {
      for await (const { name } of await opendir(join(this.#directory, 'tag'))) {
        if (name.startsWith(prefix)) onTag(name)
      }
    } catch (error) {
      if (!isAbsence(error)) throw fileError(error)
    }
    return true
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #worded(error: unknown, hash: string): unknown {
    if (!isAbsence(error)) return fileError(error)
    return new OldObjectNotFoundError(`there is no object ${hash} in ${this.#directory}`, {
      cause: error,
    })
  }
}

/** What is there and is no link, or no directory, counts as not being there either. */
export function isAbsence(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : ''
  return code === 'ENOENT' || code === 'EINVAL' || code === 'ENOTDIR' || code === 'EISDIR'
}

/** An error of the operating system, whose message names the call and the path, in words for people. */
export function fileError(error: unknown): unknown {
  if (!(error instanceof Error && 'code' in error && typeof error.code === 'string')) return error
  const text = `the old cluster's files cannot be read: ${error.message}; pachd must be allowed to`
  return new UnavailableError(text, { cause: error })
}
