import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { assert, NotFoundError } from '../base/errors.ts'
import { fileError } from './file-errors.ts'
import type { BucketObject, ObjectBucket } from './object-bucket.ts'
import {
  type ObjectInfo,
  type ObjectKey,
  objectKeyOf,
  type ObjectStore,
  parseObjectKey,
} from './object-store.ts'
import { Attempts, retried, type RetryPorts } from '../base/retries.ts'

/** Who uses a bucket is noted in it under this name, below the prefix; no key can start with a dot. */
export const ownerName = '.owner'

/** Every store takes so much in one request. Packs are not larger than 40 MiB. */
const objectBytesMax = 256 * 1024 * 1024

export interface BucketObjectsPorts extends RetryPorts {
  readonly bucket: ObjectBucket
  /** Empty, or ends with a slash; all keys begin with it. */
  readonly prefix: string
  /** For what comes as a stream, since a request says at its start how much there is. */
  readonly scratchDirectory: string
  /** Throws when nothing may be changed any more; tries again by itself. */
  readonly beforeChange?: (change: 'put' | 'delete') => Promise<void>
}

/**
 * Objects in a bucket, each by one request, which makes all of it or nothing. What fails on the way is tried
 * again; a put whose answer was lost may then say false of what it has stored itself.
 */
export class BucketObjectStore implements ObjectStore, Disposable {
  readonly #ports: BucketObjectsPorts
  readonly #stop = new AbortController()
  #draftCount = 0

  constructor(ports: BucketObjectsPorts) {
    this.#ports = ports
  }

  async putIfAbsent(
    key: ObjectKey,
    parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<boolean> {
    const { scratchDirectory } = this.#ports
    this.#draftCount += 1
    const draft = join(scratchDirectory, `bucket-${this.#draftCount}.pack`)
    try {
      {
        await using file = await open(draft, 'wx')
        for await (const part of parts) await file.writeFile(part)
      }
      return await this.putFileIfAbsent(key, draft)
    } catch (error) {
      throw fileError(error, `object ${key}`, scratchDirectory)
    } finally {
      await rm(draft, { force: true })
    }
  }

  async putFileIfAbsent(key: ObjectKey, path: string): Promise<boolean> {
    const { bucket, beforeChange } = this.#ports
    const { size: sizeBytes } = await stat(path)
    assert(sizeBytes <= objectBytesMax, `objects have at most ${objectBytesMax} bytes`)
    const bytes = { sizeBytes, md5: await md5Of(path), open: () => createReadStream(path) }
    await beforeChange?.('put')
    const stored = await this.#retried((signal) => bucket.create(this.#name(key), bytes, signal))
    await rm(path, { force: true })
    return stored
  }

  async get(key: ObjectKey, offset: number, length: number): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafeSlow(length)
    return bytes.subarray(0, await this.getInto(key, offset, bytes))
  }

  /** Goes on where a connection has ended. */
  async getInto(key: ObjectKey, offset: number, into: Uint8Array): Promise<number> {
    if (into.length === 0) {
      await this.sizeBytes(key)
      return 0
    }
    let filled = 0
    await this.#retried(async (signal) => {
      if (filled === into.length) return
      const range = { offset: offset + filled, length: into.length - filled }
      const bytes = await this.#ports.bucket.readRange(this.#name(key), range, signal)
      if (bytes === undefined) throw new MissingObject()
      for await (const slice of bytes) {
        assert(slice.length <= into.length - filled, 'no more comes than was asked for')
        into.set(slice, filled)
        filled += slice.length
      }
    }).catch((error: unknown) => {
      throw error instanceof MissingObject ? this.#missing(key) : error
    })
    return filled
  }

  async sizeBytes(key: ObjectKey): Promise<number> {
    const found = await this.#retried((signal) => this.#ports.bucket.find(this.#name(key), signal))
    if (found === undefined) throw this.#missing(key)
    return found.sizeBytes
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    for await (const { key: name, sizeBytes } of this.#listed(prefix)) {
      const key = objectKeyOf(name)
      if (key !== undefined) yield { key, sizeBytes }
    }
  }

  async *foreignNames(): AsyncGenerator<string> {
    for await (const { key: name } of this.#listed('')) {
      if (name !== ownerName && objectKeyOf(name) === undefined) yield name
    }
  }

  refresh(): Promise<void> {
    return Promise.resolve() // nothing is kept of it
  }

  async delete(key: ObjectKey): Promise<void> {
    const { bucket, beforeChange } = this.#ports
    await beforeChange?.('delete')
    await this.#retried((signal) => bucket.delete(this.#name(key), signal))
  }

  /** Ends what is under way. */
  [Symbol.dispose](): void {
    this.#stop.abort()
  }

  /** Names without the prefix. Begins anew where it broke, and leaves out what it has told already. */
  async *#listed(prefix: string): AsyncGenerator<BucketObject> {
    const { bucket, prefix: root } = this.#ports
    const { signal } = this.#stop
    const attempts = new Attempts(this.#ports, signal)
    let last = ''
    for (;;) {
      try {
        for await (const { key, sizeBytes } of bucket.list(root + prefix, signal)) {
          const name = key.slice(root.length)
          if (name <= last) continue
          yield { key: name, sizeBytes }
          last = name
          attempts.succeeded()
        }
        return
      } catch (error) {
        await attempts.failed(error)
      }
    }
  }

  async #retried<Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const { signal } = this.#stop
    return await retried(this.#ports, signal, () => work(signal))
  }

  #name(key: ObjectKey): string {
    return this.#ports.prefix + parseObjectKey(key)
  }

  #missing(key: ObjectKey): NotFoundError {
    const { bucket, prefix } = this.#ports
    return new NotFoundError(`object ${key}: not found in ${bucket.name}/${prefix}`)
  }
}

/** So that it is not taken for a bucket that is not there. */
class MissingObject extends Error {}

async function md5Of(path: string): Promise<Uint8Array> {
  const hash = createHash('md5')
  for await (const part of createReadStream(path)) hash.update(part as Uint8Array)
  return hash.digest()
}
