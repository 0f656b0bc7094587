import { createReadStream } from 'node:fs'
import { opendir, readlink, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { ByteStream } from '../../base/bytes.ts'
import {
  isPlainTag,
  OldObjectNotFoundError,
  requireObjectHash,
  type OldObjects,
} from '../old-objects.ts'

/**
 * The objects of a server that kept them in a directory: `object/<hash>` holds the bytes, and
 * `tag/<name>` is a link to one of these, by its path in the server's container.
 */
export class FileObjects implements OldObjects {
  readonly name: string
  readonly #directory: string

  constructor(directory: string) {
    this.name = directory
    this.#directory = directory
  }

  async *read(hash: string): ByteStream {
    requireObjectHash(hash)
    const stream = createReadStream(join(this.#directory, 'object', hash))
    try {
      yield* stream as AsyncIterable<Uint8Array>
    } catch (error) {
      throw this.#worded(error, hash)
    } finally {
      stream.destroy()
    }
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
      throw error
    }
  }

  async listTags(prefix: string): Promise<ReadonlySet<string>> {
    const found = new Set<string>()
    try {
      for await (const { name } of await opendir(join(this.#directory, 'tag'))) {
        if (name.startsWith(prefix)) found.add(name)
      }
    } catch (error) {
      if (!isAbsence(error)) throw error
    }
    return found
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #worded(error: unknown, hash: string): unknown {
    if (!isAbsence(error)) return error
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
