import {
  copyFile,
  type FileHandle,
  link,
  open,
  readdir,
  rename,
  rm,
  stat,
  unlink,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { UnavailableError } from '../base/errors.ts'
import { lockName } from '../database/directory-lock.ts'
import { makeDirectories } from './directories.ts'
import { type FaultPoint, noFault } from './fault-point.ts'
import { directoryError, fileError, systemCode } from './file-errors.ts'
import {
  type ObjectInfo,
  type ObjectKey,
  objectKeyOf,
  type ObjectStore,
  parseObjectKey,
} from './object-store.ts'
import { OpenFiles } from './open-files.ts'

/** Where drafts are kept; no key can start with a dot. */
const incomingName = '.incoming'
/** What file systems keep beside files: here, and in any folder. */
const leftNames = /^\.nfs/
const ownNames = /^(\.incoming|lost\+found|\.nfs.*)$/
const openFilesMax = 128

/**
 * Objects as files in a directory that this process alone uses. A put writes a draft beside the
 * objects, syncs it, links it under its name and syncs that directory, in this order; so a name
 * never shows bytes that a power cut could still take away.
 */
export class LocalObjectStore implements ObjectStore, AsyncDisposable {
  readonly #directory: string
  readonly #faultPoint: FaultPoint
  readonly #files = new OpenFiles(openFilesMax)
  readonly #knownDirectories = new Set<string>()
  #draftCount = 0
  #syncFailure: UnavailableError | undefined

  private constructor(directory: string, faultPoint: FaultPoint) {
    this.#directory = directory
    this.#faultPoint = faultPoint
  }

  /** Makes the directory when it is missing, and removes the drafts that a crash left in it. */
  static async open(
    directory: string,
    faultPoint: FaultPoint = noFault,
  ): Promise<LocalObjectStore> {
    const incoming = await draftsDirectory(directory)
    try {
      for (const name of await readdir(incoming)) {
        if (name !== lockName) await rm(join(incoming, name), { recursive: true, force: true })
      }
      await syncDirectory(directory)
      await syncDirectory(dirname(directory))
    } catch (error) {
      throw directoryError(error, `object directory ${directory}`, directory)
    }
    return new LocalObjectStore(directory, faultPoint)
  }

  /** Of a directory that nobody writes to meanwhile, or can; nothing is put there. */
  static openForReading(directory: string): LocalObjectStore {
    return new LocalObjectStore(directory, noFault)
  }

  async putIfAbsent(
    key: ObjectKey,
    parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<boolean> {
    return await this.#put(key, parts, (draft) => this.#publish(key, draft))
  }

  /** In the place of one that is there, at once: no other object is lost on the way. */
  async replace(
    key: ObjectKey,
    parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<void> {
    await this.#put(key, parts, async (draft) => {
      await this.#syncDraft(draft)
      const path = this.#path(key)
      await this.#makeDirectory(dirname(path))
      await this.#files.drop(path)
      await rename(draft, path)
      await this.#syncDirectory(dirname(path))
    })
  }

  async #put<Result>(
    key: ObjectKey,
    parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    publish: (draft: string) => Promise<Result>,
  ): Promise<Result> {
    const draft = this.#newDraft()
    try {
      {
        await using file = await open(draft, 'wx')
        for await (const part of parts) {
          this.#faultPoint('object: write')
          await file.writeFile(part)
        }
      }
      return await publish(draft)
    } catch (error) {
      await rm(draft, { force: true })
      throw fileError(error, `object ${key}`, this.#directory)
    }
  }

  async putFileIfAbsent(key: ObjectKey, path: string): Promise<boolean> {
    try {
      return await this.#publish(key, path)
    } catch (error) {
      if (systemCode(error) !== 'EXDEV') throw fileError(error, `object ${key}`, this.#directory)
    }
    const draft = this.#newDraft()
    try {
      await copyFile(path, draft)
      const stored = await this.#publish(key, draft)
      await unlink(path)
      return stored
    } catch (error) {
      await rm(draft, { force: true })
      throw fileError(error, `object ${key}`, this.#directory)
    }
  }

  async get(key: ObjectKey, offset: number, length: number): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafeSlow(length)
    return bytes.subarray(0, await this.getInto(key, offset, bytes))
  }

  async getInto(key: ObjectKey, offset: number, into: Uint8Array): Promise<number> {
    const { length } = into
    try {
      return await this.#files.with(this.#path(key), async (file) => {
        let filled = 0
        while (filled < length) {
          const { bytesRead } = await file.read(into, filled, length - filled, offset + filled)
          if (bytesRead === 0) break
          filled += bytesRead
        }
        return filled
      })
    } catch (error) {
      throw fileError(error, `object ${key}`, this.#directory)
    }
  }

  async sizeBytes(key: ObjectKey): Promise<number> {
    try {
      return (await stat(this.#path(key))).size
    } catch (error) {
      throw fileError(error, `object ${key}`, this.#directory)
    }
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    for await (const { key, sizeBytes } of this.#listBelow('', prefix)) {
      if (key !== undefined) yield { key, sizeBytes }
    }
  }

  async *foreignNames(): AsyncGenerator<string> {
    for await (const { key, name } of this.#listBelow('', '')) if (key === undefined) yield name
  }

  async refresh(key: ObjectKey): Promise<void> {
    await this.#files.drop(this.#path(key))
  }

  async delete(key: ObjectKey): Promise<void> {
    const path = this.#path(key)
    await this.#files.drop(path)
    try {
      await unlink(path)
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw fileError(error, `object ${key}`, this.#directory)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#files[Symbol.asyncDispose]()
  }

  /** Makes `path` another name of the object's file, or on another disk a durable copy of it. */
  async linkTo(key: ObjectKey, path: string): Promise<void> {
    try {
      await rm(path, { force: true })
      await link(this.#path(key), path).catch(async (error: unknown) => {
        if (systemCode(error) !== 'EXDEV') throw error
        await copyFile(this.#path(key), path)
        await using copy = await open(path, 'r+')
        await copy.sync()
      })
    } catch (error) {
      throw fileError(error, `object ${key}`, this.#directory)
    }
  }

  /** Makes the file's bytes durable, then its name. The draft's own name goes last. */
  async #publish(key: ObjectKey, draft: string): Promise<boolean> {
    await this.#syncDraft(draft)
    const path = this.#path(key)
    await this.#makeDirectory(dirname(path))
    let stored = true
    try {
      await link(draft, path)
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error
      stored = false
    }
    this.#faultPoint('object: linked')
    await this.#syncDirectory(dirname(path))
    this.#faultPoint('object: directory synced')
    await unlink(draft)
    this.#faultPoint('object: draft removed')
    return stored
  }

  async #syncDraft(draft: string): Promise<void> {
    this.#faultPoint('object: before sync')
    {
      await using file = await open(draft, 'r+')
      await this.#sync(file)
    }
    this.#faultPoint('object: synced')
  }

  async #makeDirectory(directory: string): Promise<void> {
    if (directory === this.#directory || this.#knownDirectories.has(directory)) return
    const parent = dirname(directory)
    await this.#makeDirectory(parent)
    await makeDirectories(directory)
    await this.#syncDirectory(parent)
    this.#knownDirectories.add(directory)
  }

  /**
   * After a failed sync nobody knows what the disk holds, and a second one may succeed although the
   * bytes are gone: nothing more is stored until the directory is opened anew.
   */
  async #sync(file: FileHandle): Promise<void> {
    if (this.#syncFailure !== undefined) throw this.#syncFailure
    try {
      this.#faultPoint('object: sync')
      await file.sync()
    } catch (error) {
      this.#syncFailure = new UnavailableError(
        `the disk of ${this.#directory} failed to sync; look after it, then restart`,
        { cause: error },
      )
      throw this.#syncFailure
    }
  }

  async #syncDirectory(directory: string): Promise<void> {
    await using handle = await open(directory, 'r')
    await this.#sync(handle)
  }

  async *#listBelow(folder: string, prefix: string): AsyncGenerator<Listed> {
    const path = join(this.#directory, folder)
    const entries = await readdir(path, { withFileTypes: true }).catch((error: unknown) => {
      throw fileError(error, `the objects in ${path}`, this.#directory)
    })
    const names = entries
      .filter((entry) => !(folder === '' ? ownNames : leftNames).test(entry.name))
      // A directory sorts as its keys do, that is with the slash behind its name.
      .map((entry) => folder + entry.name + (entry.isDirectory() ? '/' : ''))
      .toSorted()
    for (const name of names) {
      if (name.endsWith('/')) {
        const isWanted = name.startsWith(prefix) || prefix.startsWith(name)
        // Into a folder that can hold no object nobody looks: it may not even be ours to read.
        if (isWanted && objectKeyOf(name.slice(0, -1)) === undefined) {
          yield { name, key: undefined, sizeBytes: 0 }
        } else if (isWanted) yield* this.#listBelow(name, prefix)
      } else if (name.startsWith(prefix)) {
        const info = await this.#infoOf(name)
        if (info !== undefined) yield { name, key: objectKeyOf(name), sizeBytes: info.size }
      }
    }
  }

  /** Undefined when it was deleted since, or is a link that leads nowhere. */
  async #infoOf(name: string): Promise<{ readonly size: number } | undefined> {
    try {
      return await stat(join(this.#directory, name))
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined
      throw fileError(error, `object ${name}`, this.#directory)
    }
  }

  #newDraft(): string {
    this.#draftCount += 1
    return join(this.#directory, incomingName, `${this.#draftCount}`)
  }

  #path(key: ObjectKey): string {
    return join(this.#directory, parseObjectKey(key))
  }
}

/** Where drafts are, which is made when it is missing: whoever shares the directory has a lock there. */
export async function draftsDirectory(directory: string): Promise<string> {
  const incoming = join(directory, incomingName)
  try {
    await makeDirectories(incoming)
  } catch (error) {
    throw directoryError(error, `object directory ${directory}`, directory)
  }
  return incoming
}

interface Listed {
  readonly name: string
  /** Undefined when the name is no object's. */
  readonly key: ObjectKey | undefined
  readonly sizeBytes: number
}

async function syncDirectory(directory: string): Promise<void> {
  await using handle = await open(directory, 'r')
  await handle.sync()
}
