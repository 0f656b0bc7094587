import { createReadStream } from 'node:fs'
import { opendir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ByteStream } from '../../base/bytes.ts'
import type { Bucket } from '../../clouds/bucket.ts'
import { fileError, isAbsence } from './file-objects.ts'

/** A blob and a range of it. */
export interface BlobRange {
  readonly offset: number
  readonly length: number
}

/** What an object store keeps, by keys that are relative to the root of a server's storage. */
export interface Blobs {
  /** For people. */
  readonly name: string
  /** The bytes of a blob; undefined when there is none. */
  read(key: string, range?: BlobRange): Promise<ByteStream | undefined>
  /** The keys that begin with `prefix`. */
  list(prefix: string): AsyncIterable<string>
}

/** A bucket below `root`, which ends with a slash. */
export class BucketBlobs implements Blobs {
  readonly name: string
  readonly #bucket: Bucket
  readonly #root: string
  readonly #signal: AbortSignal

  constructor(bucket: Bucket, root: string, signal: AbortSignal) {
    this.name = `${bucket.name}/${root}`
    this.#bucket = bucket
    this.#root = root
    this.#signal = signal
  }

  async read(key: string, range?: BlobRange): Promise<ByteStream | undefined> {
    const object = await this.#bucket.find(this.#root + key, this.#signal)
    if (object === undefined) return undefined
    const bytes = this.#bucket.read(object, range?.offset ?? 0, this.#signal)
    return range === undefined ? bytes : firstBytes(bytes, range.length)
  }

  async *list(prefix: string): AsyncGenerator<string> {
    for await (const { key } of this.#bucket.list(this.#root + prefix, this.#signal)) {
      yield key.slice(this.#root.length)
    }
  }
}

async function* firstBytes(bytes: ByteStream, length: number): AsyncGenerator<Uint8Array> {
  let left = length
  if (left === 0) return
  for await (const piece of bytes) {
    yield piece.subarray(0, left)
    left -= Math.min(left, piece.length)
    if (left === 0) return
  }
}

/** A copy of a bucket as files. */
export class DirectoryBlobs implements Blobs {
  readonly name: string
  readonly #directory: string

  constructor(directory: string) {
    this.name = directory
    this.#directory = directory
  }

  async read(key: string, range?: BlobRange): Promise<ByteStream | undefined> {
    const path = join(this.#directory, key)
    try {
      if (!(await stat(path)).isFile()) return undefined
    } catch (error) {
      if (isAbsence(error)) return undefined
      throw fileError(error)
    }
    if (range?.length === 0) return noBytes()
    return createReadStream(path, {
      ...(range !== undefined && { start: range.offset, end: range.offset + range.length - 1 }),
    })
  }

  async *list(prefix: string): AsyncGenerator<string> {
    const slash = prefix.lastIndexOf('/')
    const [folder, start] = [prefix.slice(0, slash), prefix.slice(slash + 1)]
    try {
      for await (const entry of await opendir(join(this.#directory, folder))) {
        if (entry.isFile() && entry.name.startsWith(start)) yield `${folder}/${entry.name}`
      }
    } catch (error) {
      if (!isAbsence(error)) throw fileError(error)
    }
  }
}

async function* noBytes(): AsyncGenerator<Uint8Array> {}
