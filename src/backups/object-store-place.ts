import { hash } from 'node:crypto'
import { DataLossError, NotFoundError } from '../base/errors.ts'
import type { WritableBucket } from '../clouds/bucket.ts'
import { LocalObjectStore } from '../storage/local-objects.ts'
import { type ObjectStore, parseObjectKey } from '../storage/object-store.ts'
import type { BackupPlace, PlacedObject } from './place.ts'

/** An object store as a place for backups; the store stays its owner's. */
export class ObjectStorePlace implements BackupPlace {
  readonly name: string
  readonly #objects: ObjectStore

  constructor(name: string, objects: ObjectStore) {
    this.name = name
    this.#objects = objects
  }

  async *list(prefix: string): AsyncGenerator<PlacedObject> {
    yield* this.#objects.list(prefix)
  }

  async read(text: string): Promise<Uint8Array> {
    const key = parseObjectKey(text)
    const sizeBytes = await this.#objects.sizeBytes(key)
    const bytes = await this.#objects.get(key, 0, sizeBytes)
    if (bytes.length === sizeBytes) return bytes
    throw new DataLossError(`${this.name}/${key} is cut short`)
  }

  async write(key: string, bytes: Uint8Array): Promise<void> {
    await this.#objects.putIfAbsent(parseObjectKey(key), [bytes])
  }

  async remove(key: string): Promise<void> {
    await this.#objects.delete(parseObjectKey(key))
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** A directory as a place, which is made when it is missing. */
export class DirectoryPlace extends ObjectStorePlace {
  readonly #store: LocalObjectStore

  private constructor(directory: string, store: LocalObjectStore) {
    super(directory, store)
    this.#store = store
  }

  static async open(directory: string): Promise<DirectoryPlace> {
    return new DirectoryPlace(directory, await LocalObjectStore.open(directory))
  }

  /** Of a directory that is only read, and may be on a medium that cannot be written. */
  static openForReading(directory: string): DirectoryPlace {
    return new DirectoryPlace(directory, LocalObjectStore.openForReading(directory))
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]()
  }
}

/** What `prefix` of a bucket holds, as a place. */
export class BucketPlace implements BackupPlace {
  readonly name: string
  readonly #bucket: WritableBucket
  readonly #prefix: string
  readonly #signal: AbortSignal

  /** `prefix` is empty, or ends with a slash. `signal` ends whatever is under way. */
  constructor(bucket: WritableBucket, prefix: string, signal: AbortSignal) {
    this.name = `${bucket.name}/${prefix}`.replace(/\/$/, '')
    this.#bucket = bucket
    this.#prefix = prefix
    this.#signal = signal
  }

  async *list(prefix: string): AsyncGenerator<PlacedObject> {
    for await (const { key, sizeBytes } of this.#bucket.list(
      `${this.#prefix}${prefix}`,
      this.#signal,
    )) {
      yield { key: key.slice(this.#prefix.length), sizeBytes }
    }
  }

  async read(key: string): Promise<Uint8Array> {
    const found = await this.#bucket.find(`${this.#prefix}${key}`, this.#signal)
    if (found === undefined) throw new NotFoundError(`${this.name} holds no ${key}`)
    const bytes = Buffer.allocUnsafeSlow(found.sizeBytes)
    let at = 0
    for await (const part of this.#bucket.read(found, 0, this.#signal)) {
      bytes.set(part.subarray(0, bytes.length - at), at)
      at += part.length
    }
    if (at === bytes.length) return bytes
    throw new DataLossError(`${this.name}/${key} came with ${at} bytes instead of ${bytes.length}`)
  }

  async write(key: string, bytes: Uint8Array): Promise<void> {
    const object = {
      key: `${this.#prefix}${key}`,
      sizeBytes: bytes.length,
      contentHash: hash('sha256', bytes, 'hex'),
      read: async (offset: number, length: number) => bytes.subarray(offset, offset + length),
    }
    await this.#bucket.write(object, this.#signal)
  }

  async remove(key: string): Promise<void> {
    await this.#bucket.delete(`${this.#prefix}${key}`, this.#signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
