import { hash } from 'node:crypto'
import { Readable } from 'node:stream'
import {
  DataLossError,
  DiskFullError,
  FailedPreconditionError,
  NotFoundError,
  ResourceExhaustedError,
} from '../base/errors.ts'
import type { WritableBucket } from '../clouds/bucket.ts'
import type { Pace } from '../clouds/pace.ts'
import { lockDirectory } from '../database/directory-lock.ts'
import { draftsDirectory, LocalObjectStore } from '../storage/local-objects.ts'
import { type ObjectStore, parseObjectKey } from '../storage/object-store.ts'
import { requireBackupDirectory } from './backup-directory.ts'
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
    await this.create(key, bytes)
  }

  async create(key: string, bytes: Uint8Array): Promise<boolean> {
    return await this.#objects.putIfAbsent(parseObjectKey(key), [bytes])
  }

  async replace(key: string, bytes: Uint8Array): Promise<void> {
    await this.remove(key)
    await this.write(key, bytes)
  }

  async remove(key: string): Promise<void> {
    await this.#objects.delete(parseObjectKey(key))
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** A directory as a place, which is made when it is missing. */
export class DirectoryPlace extends ObjectStorePlace {
  readonly #store: LocalObjectStore
  readonly #opened: AsyncDisposable

  private constructor(directory: string, store: LocalObjectStore, opened: AsyncDisposable) {
    super(directory, store)
    this.#store = store
    this.#opened = opened
  }

  /**
   * For this process alone, until it is disposed of.
   *
   * @throws {FailedPreconditionError} where no backup may be written, or another one is being; nothing there has
   * changed.
   */
  static async open(directory: string): Promise<DirectoryPlace> {
    await requireBackupDirectory(directory)
    await using opened = new AsyncDisposableStack()
    const drafts = await roomIn(directory, draftsDirectory(directory))
    opened.use(await lockDirectory(drafts, (cause) => isBeingWritten(directory, cause)))
    const store = opened.use(await roomIn(directory, LocalObjectStore.open(directory)))
    return new DirectoryPlace(directory, store, opened.move())
  }

  /** Of a directory that is only read, and may be on a medium that cannot be written. */
  static openForReading(directory: string): DirectoryPlace {
    const store = LocalObjectStore.openForReading(directory)
    return new DirectoryPlace(directory, store, store)
  }

  override async create(key: string, bytes: Uint8Array): Promise<boolean> {
    return await roomIn(this.name, super.create(key, bytes))
  }

  override async replace(key: string, bytes: Uint8Array): Promise<void> {
    await roomIn(this.name, this.#store.replace(parseObjectKey(key), [bytes]))
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened[Symbol.asyncDispose]()
  }
}

function isBeingWritten(directory: string, cause: unknown): FailedPreconditionError {
  return new FailedPreconditionError(
    `another backup is being written to ${directory}, and one at a time can be: run this again when it has ended`,
    { cause },
  )
}

interface BucketPlaceParts {
  /** How many objects the store takes at once. */
  readonly pace: Pick<Pace, 'count'>
  /** Ends whatever is under way. */
  readonly signal: AbortSignal
  /** Goes with the place. */
  readonly opened: Disposable
}

/** A disk that is full is the backup's, and not that of a data directory. */
async function roomIn<Result>(directory: string, work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof DiskFullError)) throw error
    throw new ResourceExhaustedError(
      `no room is left on the disk of the backup ${directory}: make some, and the same command goes on where it stopped, or back up to another disk`,
      { cause: error },
    )
  }
}

/** What `prefix` of a bucket holds, as a place. */
export class BucketPlace implements BackupPlace {
  readonly name: string
  readonly #bucket: WritableBucket
  readonly #prefix: string
  readonly #parts: BucketPlaceParts

  /** `prefix` is empty, or ends with a slash. */
  constructor(bucket: WritableBucket, prefix: string, parts: BucketPlaceParts) {
    this.name = `${bucket.name}/${prefix}`.replace(/\/$/, '')
    this.#bucket = bucket
    this.#prefix = prefix
    this.#parts = parts
  }

  get writesMax(): number {
    return this.#parts.pace.count
  }

  async *list(prefix: string): AsyncGenerator<PlacedObject> {
    for await (const { key, sizeBytes } of this.#bucket.list(
      `${this.#prefix}${prefix}`,
      this.#parts.signal,
    )) {
      yield { key: key.slice(this.#prefix.length), sizeBytes }
    }
  }

  async read(key: string): Promise<Uint8Array> {
    const found = await this.#bucket.find(`${this.#prefix}${key}`, this.#parts.signal)
    if (found === undefined) throw new NotFoundError(`${this.name} holds no ${key}`)
    const bytes = Buffer.allocUnsafeSlow(found.sizeBytes)
    let at = 0
    for await (const part of this.#bucket.read(found, 0, this.#parts.signal)) {
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
    await this.#bucket.write(object, this.#parts.signal)
  }

  async create(key: string, bytes: Uint8Array): Promise<boolean> {
    const whole = {
      sizeBytes: bytes.length,
      md5: hash('md5', bytes, 'buffer'),
      open: () => Readable.from([bytes]),
    }
    return await this.#bucket.create(`${this.#prefix}${key}`, whole, this.#parts.signal)
  }

  async replace(key: string, bytes: Uint8Array): Promise<void> {
    await this.write(key, bytes)
  }

  async remove(key: string): Promise<void> {
    await this.#bucket.delete(`${this.#prefix}${key}`, this.#parts.signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts.opened[Symbol.dispose]()
  }
}
